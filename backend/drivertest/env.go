package drivertest

import (
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Env is one store and the means to disturb it. Every field but Owned must
// be set: a clause that cannot be provoked is not proved.
type Env struct {
	// Open returns a driver of its own to the store, as another process would
	// have one. The suite closes it.
	Open func(t testing.TB) driver.Driver

	// Prefix is a directory that no other test uses; the suite's keys lie in it.
	Prefix string

	// TTL is the TTL to ask for: short, to save time.
	TTL time.Duration
	// Expiry is the longest time that the keys of a lease may stay after the
	// start of its last renewal: how late this store expires leases.
	Expiry time.Duration

	// Expire ends a lease at the store, behind its owner's back.
	Expire func(t testing.TB, lease driver.Lease)

	// Cut resets d's connections and refuses new ones.
	// Silence keeps them open, accepts new ones, and lets nothing through.
	// Mute lets requests through and no reply.
	// Heal undoes them for d; nothing that was held back arrives late. It is
	// also called for a driver that is closed or was not disturbed.
	Cut, Silence, Mute, Heal func(t testing.TB, d driver.Driver)

	// Depose makes the server of d believe for a while that it still leads, or
	// is connected to the leader, when another leads already. It calls during
	// in that time, then lets things settle. The function during must not fail
	// just because d gets errors.
	Depose func(t testing.TB, d driver.Driver, during func())

	// Forget makes the store drop the history from which watches resume, by a
	// compaction or an index reset, or does what is closest to it. It may cut
	// the drivers off for a while. All are connected again when it returns.
	Forget func(t testing.TB)

	// Snapshot takes a backup. The function restore puts the store back to it,
	// and returns once the store serves again. Revisions go back if the store's
	// own way to restore allows that.
	Snapshot func(t testing.TB) (restore func())

	// Owned names the packages, beside the driver's own, whose goroutines must
	// be gone once the driver is closed: those of a client that it owns. It
	// may be empty.
	Owned []string
}

// Factory makes the environment of one subtest. It may hand out the same
// store many times, each time with another Prefix.
type Factory func(t testing.TB) *Env
