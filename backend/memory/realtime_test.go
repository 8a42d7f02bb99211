package memory_test

import (
	"testing"
	"time"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/internal/memoryenv"
)

// TestConformanceInRealTime runs the suite as it runs on real stores: the
// clock's own jitter included.
func TestConformanceInRealTime(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, func(t testing.TB) *drivertest.Env {
		env := memoryenv.New(t)
		env.TTL, env.Expiry = time.Second, time.Second
		return env
	})
}
