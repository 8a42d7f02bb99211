package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/internal/partitiontest"
)

func TestPartitionConsul(t *testing.T) {
	rig := startConsul(t, cluster.ConsulConfig{})
	partitiontest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
