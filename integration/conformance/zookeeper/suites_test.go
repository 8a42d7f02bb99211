package zookeeper_test

import (
	"testing"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

func TestZooKeeper(t *testing.T) {
	conformance.Run(t, startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick}).env)
}
