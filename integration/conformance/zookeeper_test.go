package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/internal/electiontest"
)

func TestZooKeeper(t *testing.T) {
	rig := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick})
	drivertest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}

func TestElectionZooKeeper(t *testing.T) {
	rig := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick})
	electiontest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
