package memory_test

import (
	"testing"
	"time"

	"github.com/quorate/quorate/backend/drivertest"
)

// TestConformanceInRealTime runs the suite as it runs on real stores: the
// clock's own jitter included.
func TestConformanceInRealTime(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, func(t testing.TB) *drivertest.Env {
		env := environment(t)
		env.TTL, env.Expiry = time.Second, time.Second
		return env
	})
}
