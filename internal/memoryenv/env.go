// Package memoryenv is the environment that the memory driver gives to the test
// suites that run on every store.
package memoryenv

import (
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/backend/memory"
)

// New returns the environment of a memory server of its own.
func New(testing.TB) *drivertest.Env {
	server := memory.NewServer()
	return &drivertest.Env{
		Open:    func(testing.TB) driver.Driver { return memory.NewDriver(server) },
		Prefix:  "conformance",
		TTL:     2 * time.Second,
		Expiry:  2 * time.Second,
		Expire:  func(_ testing.TB, lease driver.Lease) { server.Expire(lease.ID()) },
		Cut:     func(_ testing.TB, d driver.Driver) { d.(*memory.Driver).Cut() },
		Silence: func(_ testing.TB, d driver.Driver) { d.(*memory.Driver).Silence() },
		Mute:    func(_ testing.TB, d driver.Driver) { d.(*memory.Driver).Mute() },
		Heal:    func(_ testing.TB, d driver.Driver) { d.(*memory.Driver).Heal() },
		Depose: func(_ testing.TB, d driver.Driver, during func()) {
			d.(*memory.Driver).Depose()
			defer d.(*memory.Driver).Heal()
			during()
		},
		// There is no history to drop; what comes next to it is that all
		// watches fail.
		Forget: func(testing.TB) {
			server.SetDown(true)
			server.SetDown(false)
		},
		Snapshot: func(testing.TB) func() {
			snapshot := server.Snapshot()
			return func() { server.Restore(snapshot) }
		},
	}
}
