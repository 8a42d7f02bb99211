package zookeeper_test

import (
	"testing"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

func TestHundredsZooKeeper(t *testing.T) {
	rig := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick})
	p, q := rig.peer(t), rig.peer(t)
	conformance.Hundreds(t, p.driver, q.driver, 2, func() int { return p.proxies.Stats().Connections }) // a server allows 60
}
