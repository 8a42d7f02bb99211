package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/internal/checkpointtest"
)

func TestCheckpointPostgres(t *testing.T) {
	rig := startPostgres(t)
	checkpointtest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
