package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/internal/partitiontest"
)

func TestPartitionZooKeeper(t *testing.T) {
	rig := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick})
	partitiontest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
