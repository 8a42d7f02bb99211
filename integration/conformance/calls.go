package conformance

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/cluster"
)

// Patience bounds what a cluster is waited for.
const Patience = 2 * time.Minute

// Bounded returns a context that ends with the test, or after Patience.
func Bounded(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), Patience)
}

// Eventually calls f until it succeeds, each time for 5 s at most. It fails the
// test after Patience.
func Eventually(t testing.TB, what string, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := Bounded(t)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		call, done := context.WithTimeout(ctx, 5*time.Second)
		err := f(call)
		done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s: %v", what, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// TakeSnapshot takes a backup and returns a function that puts it back. With bump,
// etcd's revisions then jump beyond those of before.
func TakeSnapshot(t testing.TB, c *cluster.Cluster, bump bool) (restore func()) {
	t.Helper()
	ctx, cancel := Bounded(t)
	defer cancel()
	snapshot, err := c.Snapshot(ctx)
	Must(t, err)
	return func() {
		t.Helper()
		ctx, cancel := Bounded(t)
		defer cancel()
		Must(t, snapshot.Restore(ctx, bump))
	}
}

// Must ends the test if err is not nil.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// MustCommit commits txn, which may be refused. An error ends the test.
func MustCommit(t testing.TB, d driver.Driver, txn driver.Txn) driver.Result {
	t.Helper()
	ctx, cancel := Bounded(t)
	defer cancel()
	result, err := d.Commit(ctx, txn)
	Must(t, err)
	return result
}

// MustApply commits ops under a lease, or none if it is empty, and returns the
// versions. A refusal or an error ends the test.
func MustApply(t testing.TB, d driver.Driver, lease string, ops ...driver.Op) []driver.Version {
	t.Helper()
	result := MustCommit(t, d, driver.Txn{Ops: ops, Lease: lease})
	if !result.Applied {
		t.Fatalf("a commit was refused; current: %v", result.Current)
	}
	return result.Versions
}

// MustRead returns the entries of a target. An error ends the test.
func MustRead(t testing.TB, d driver.Driver, target driver.Target) []driver.Entry {
	t.Helper()
	ctx, cancel := Bounded(t)
	defer cancel()
	all, err := d.Read(ctx, target)
	Must(t, err)
	return all[0]
}

// MustGrant grants a lease. An error ends the test.
func MustGrant(t testing.TB, d driver.Driver, ttl time.Duration) driver.Lease {
	t.Helper()
	ctx, cancel := Bounded(t)
	defer cancel()
	lease, err := d.Grant(ctx, ttl)
	Must(t, err)
	return lease
}
