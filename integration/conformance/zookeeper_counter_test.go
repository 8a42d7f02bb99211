package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/internal/countertest"
)

func TestCounterZooKeeper(t *testing.T) {
	rig := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick})
	countertest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
