package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/internal/partitiontest"
)

func TestPartitionEtcd(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{})
	partitiontest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
