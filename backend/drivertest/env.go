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
	// Expiry bounds from above how long the keys of a lease that is no longer
	// renewed may stay after the start of its last renewal: how late this
	// store expires leases.
	Expiry time.Duration

	// Expire ends a lease at the store, behind its owner's back.
	Expire func(t testing.TB, lease driver.Lease)

	// Cut resets d's connections and refuses new ones.
	// Silence keeps them open, accepts new ones, and lets nothing through.
	// Mute lets requests through and no reply.
	// Heal undoes them for d; nothing that was held back arrives late. It is
	// also called for a driver that is closed or was not disturbed.
	Cut, Silence, Mute, Heal func(t testing.TB, d driver.Driver)

	// Depose makes the server that d talks to believe for a while that it
	// still leads (or is connected to who leads) when another leads already,
	// calls during while that lasts, then lets things settle. during must not
	// fail for the mere reason that d gets errors.
	Depose func(t testing.TB, d driver.Driver, during func())

	// Forget makes the store drop the history that watches resume from
	// (compaction, index reset), or whatever comes next to it, with the
	// drivers cut off meanwhile if needed; after it all are connected again.
	Forget func(t testing.TB)

	// Snapshot takes a backup; restore puts the store back to it, with
	// revisions going back if the store's own way to restore allows it, and
	// returns once the store serves again.
	Snapshot func(t testing.TB) (restore func())

	// Owned names the packages, beside the driver's own, whose goroutines must
	// be gone once the driver is closed: those of a client that it owns. It
	// may be empty.
	Owned []string
}

// Factory makes the environment of one subtest. It may hand out the same
// store many times, each time with another Prefix.
type Factory func(t testing.TB) *Env
