package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/internal/countertest"
)

func TestCounterPostgres(t *testing.T) {
	rig := startPostgres(t)
	countertest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
