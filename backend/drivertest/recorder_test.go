package drivertest_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/backend/memory"
)

// recorder is a testing.TB that keeps failures to itself.
type recorder struct {
	testing.TB // for what it does not override

	ctx      context.Context
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (r *recorder) Context() context.Context       { return r.ctx }
func (r *recorder) Helper()                        {}
func (r *recorder) Log(...any)                     {}
func (r *recorder) Logf(string, ...any)            {}
func (r *recorder) Error(args ...any)              { r.note(fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, a ...any) { r.note(fmt.Sprintf(format, a...)) }
func (r *recorder) Fatal(args ...any)              { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fatalf(format string, a ...any) { r.Errorf(format, a...); runtime.Goexit() }

func (r *recorder) note(failure string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, failure)
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

// record runs a clause in virtual time over drivers with a bug, and returns
// its failures.
func record(t *testing.T, clause drivertest.Clause, perDriver func() hooks) (failures []string) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		end, release := context.WithCancel(context.Background())
		r := &recorder{TB: t, ctx: ctx}
		done := t.Context()
		done, finish := context.WithCancel(done)
		go func() {
			defer finish()
			defer func() {
				cancel()
				for _, f := range slices.Backward(r.cleanups) {
					f()
				}
			}()
			clause.Run(r, environment(end, perDriver))
		}()
		<-done.Done()
		release()               // what a bug left hanging
		time.Sleep(time.Minute) // and asleep
		r.mu.Lock()
		defer r.mu.Unlock()
		failures = r.failures
	})
	return failures
}

// environment is memory's, with drivers that have a bug.
func environment(end context.Context, perDriver func() hooks) *drivertest.Env {
	server := memory.NewServer()
	of := func(d driver.Driver) *memory.Driver { return d.(*broken).Driver }
	return &drivertest.Env{
		Open: func(testing.TB) driver.Driver {
			return &broken{Driver: memory.NewDriver(server), hooks: perDriver(), server: server, end: end}
		},
		Prefix:  "bugs/of",
		TTL:     2 * time.Second,
		Expiry:  2 * time.Second,
		Expire:  func(_ testing.TB, lease driver.Lease) { server.Expire(lease.ID()) },
		Cut:     func(_ testing.TB, d driver.Driver) { of(d).Cut() },
		Silence: func(_ testing.TB, d driver.Driver) { of(d).Silence() },
		Mute:    func(_ testing.TB, d driver.Driver) { of(d).Mute() },
		Heal:    func(_ testing.TB, d driver.Driver) { of(d).Heal() },
		Depose: func(_ testing.TB, d driver.Driver, during func()) {
			of(d).Depose()
			defer of(d).Heal()
			during()
		},
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

// hooks replace methods of a driver and of its leases; each may call what it
// replaces.
type hooks struct {
	read   func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error)
	commit func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error)
	watch  func(b *broken, ctx context.Context, target driver.Target, changed func([]driver.Entry)) error
	grant  func(b *broken, ctx context.Context, ttl time.Duration) (driver.Lease, error)
	ended  func(b *broken) <-chan struct{} // of the present generation
	close  func(b *broken, ctx context.Context) error
	id     func(l *lease) string
	lost   func(l *lease) <-chan struct{}
	renew  func(l *lease, ctx context.Context) (time.Duration, error)
	revoke func(l *lease, ctx context.Context) error
}

// broken is a driver with a bug.
type broken struct {
	*memory.Driver
	hooks  hooks
	server *memory.Server
	end    context.Context // ends after the test
}

func (b *broken) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	if b.hooks.read != nil {
		return b.hooks.read(b, ctx, targets)
	}
	return b.Driver.Read(ctx, targets...)
}

func (b *broken) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if b.hooks.commit != nil {
		return b.hooks.commit(b, ctx, txn)
	}
	return b.Driver.Commit(ctx, txn)
}

func (b *broken) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if b.hooks.watch != nil {
		return b.hooks.watch(b, ctx, target, changed)
	}
	return b.Driver.Watch(ctx, target, changed)
}

func (b *broken) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	if b.hooks.grant != nil {
		return b.hooks.grant(b, ctx, ttl)
	}
	l, err := b.Driver.Grant(ctx, ttl)
	if err != nil {
		return nil, err
	}
	return &lease{l, b}, nil
}

func (b *broken) Generation() (uint64, <-chan struct{}) {
	number, ended := b.Driver.Generation()
	if b.hooks.ended != nil {
		ended = b.hooks.ended(b)
	}
	return number, ended
}

func (b *broken) Close(ctx context.Context) error {
	if b.hooks.close != nil {
		return b.hooks.close(b, ctx)
	}
	return b.Driver.Close(ctx)
}

// lease is a lease of a driver with a bug.
type lease struct {
	driver.Lease
	b *broken
}

func (l *lease) ID() string {
	if l.b.hooks.id != nil {
		return l.b.hooks.id(l)
	}
	return l.Lease.ID()
}

func (l *lease) Lost() <-chan struct{} {
	if l.b.hooks.lost != nil {
		return l.b.hooks.lost(l)
	}
	return l.Lease.Lost()
}

func (l *lease) Renew(ctx context.Context) (time.Duration, error) {
	if l.b.hooks.renew != nil {
		return l.b.hooks.renew(l, ctx)
	}
	return l.Lease.Renew(ctx)
}

func (l *lease) Revoke(ctx context.Context) error {
	if l.b.hooks.revoke != nil {
		return l.b.hooks.revoke(l, ctx)
	}
	return l.Lease.Revoke(ctx)
}
