package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/internal/membershiptest"
)

func TestMembershipZooKeeper(t *testing.T) {
	rig := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick})
	membershiptest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
