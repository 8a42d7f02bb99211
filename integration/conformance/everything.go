package conformance

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Everything makes each kind of call with keys in a namespace, which it leaves
// empty.
func Everything(ctx context.Context, t testing.TB, d driver.Driver, namespace string, ttl time.Duration) {
	t.Helper()
	lease, err := d.Grant(ctx, ttl)
	Must(t, err)
	dir := namespace + "/everything"
	a, b := dir+"/a", dir+"/b"
	seen := make(chan int, 100)
	watching, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- d.Watch(watching, driver.Dir(dir), func(entries []driver.Entry) { seen <- len(entries) })
	}()
	await := func(what string, is func(n int) bool) {
		t.Helper()
		for {
			select {
			case n := <-seen:
				if is(n) {
					return
				}
			case err := <-ended:
				t.Fatalf("Watch = %v, before it showed %s", err, what)
			case <-ctx.Done():
				t.Fatalf("the watch never showed %s", what)
			}
		}
	}
	await("the empty directory", func(n int) bool { return n == 0 })
	commit := func(txn driver.Txn) []driver.Version {
		t.Helper()
		result, err := d.Commit(ctx, txn)
		Must(t, err)
		if !result.Applied {
			t.Fatalf("refused: %+v", result)
		}
		return result.Versions
	}
	v := commit(driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral(a, nil), driver.Create(b, nil)}})
	await("both keys", func(n int) bool { return n == 2 })
	v = commit(driver.Txn{Ops: []driver.Op{driver.Put(a, []byte("1"), v[0]), driver.Put(b, []byte("1"), v[1])}})
	refused, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(a, nil)}})
	Must(t, err)
	if e := refused.Current[a]; refused.Applied || e.Lease != lease.ID() {
		t.Errorf("a create of what is there: %+v, want it refused, with the key under its lease", refused)
	}
	for _, err = lease.Renew(ctx); errors.Is(err, driver.ErrUnavailable) && ctx.Err() == nil; {
		_, err = lease.Renew(ctx) // a server that is behind, as a Store would
	}
	Must(t, err)
	commit(driver.Txn{Unchanged: []driver.Condition{{Key: a, Version: v[0]}}, Ops: []driver.Op{driver.Delete(b, v[1])}})
	read, err := d.Read(ctx, driver.Key(a), driver.Dir(dir), driver.Dir(namespace))
	Must(t, err)
	if len(read[0]) != 1 || len(read[1]) != 1 {
		t.Errorf("read %+v", read)
	}
	Must(t, lease.Revoke(ctx))
	await("the end of the lease's key", func(n int) bool { return n == 0 })
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v", err)
	}
}

// Denied fails the test if err is not ErrDenied.
func Denied(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, driver.ErrDenied) {
		t.Errorf("%s = %v, want ErrDenied", what, err)
	}
}
