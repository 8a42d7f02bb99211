package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
)

func TestPostgres(t *testing.T) {
	rig := startPostgres(t)
	drivertest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}

func TestPostgresStandby(t *testing.T) {
	rig := startPostgresPair(t)
	drivertest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}

func TestPostgresBouncer(t *testing.T) {
	rig := startPostgresBouncer(t)
	drivertest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
