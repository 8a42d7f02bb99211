package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
)

func TestConsul(t *testing.T) {
	rig := startConsul(t, cluster.ConsulConfig{})
	drivertest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
