package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/internal/electiontest"
)

func TestElectionPostgres(t *testing.T) {
	rig := startPostgres(t)
	electiontest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
