package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/internal/partitiontest"
)

func TestPartitionPostgres(t *testing.T) {
	rig := startPostgres(t)
	partitiontest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
