package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/internal/membershiptest"
)

func TestMembershipPostgres(t *testing.T) {
	rig := startPostgres(t)
	membershiptest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
