package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/internal/checkpointtest"
)

func TestCheckpointConsul(t *testing.T) {
	rig := startConsul(t, cluster.ConsulConfig{})
	checkpointtest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
