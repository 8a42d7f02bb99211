package backend_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// fake is a driver that does what the test says; what the test does not say is
// left to the driver below, which may be nil if it is not needed.
type fake struct {
	driver.Driver
	read   func(context.Context, []driver.Target) ([][]driver.Entry, error)
	commit func(context.Context, driver.Txn) (driver.Result, error)
	watch  func(context.Context, driver.Target, func([]driver.Entry)) error
	grant  func(context.Context, time.Duration) (driver.Lease, error)
	close  func(context.Context) error
}

func (f *fake) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	if f.read == nil {
		return f.Driver.Read(ctx, targets...)
	}
	return f.read(ctx, targets)
}

func (f *fake) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if f.commit == nil {
		return f.Driver.Commit(ctx, txn)
	}
	return f.commit(ctx, txn)
}

func (f *fake) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if f.watch == nil {
		return f.Driver.Watch(ctx, target, changed)
	}
	return f.watch(ctx, target, changed)
}

func (f *fake) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	if f.grant == nil {
		return f.Driver.Grant(ctx, ttl)
	}
	return f.grant(ctx, ttl)
}

func (f *fake) Generation() (uint64, <-chan struct{}) {
	if f.Driver != nil {
		return f.Driver.Generation()
	}
	return 1, nil
}

func (f *fake) Close(ctx context.Context) error {
	switch {
	case f.close != nil:
		return f.close(ctx)
	case f.Driver != nil:
		return f.Driver.Close(ctx)
	}
	return nil
}

// lease is one that does what the test says: by default it is renewed for its
// TTL and revoked, at once.
type lease struct {
	id      string
	ttl     time.Duration
	renew   func(context.Context) (time.Duration, error)
	revoke  func(context.Context) error
	lost    chan struct{}
	renewed atomic.Int64
	revoked atomic.Int64
}

func newLease(id string, ttl time.Duration) *lease {
	return &lease{id: id, ttl: ttl, lost: make(chan struct{})}
}

func (l *lease) ID() string            { return l.id }
func (l *lease) TTL() time.Duration    { return l.ttl }
func (l *lease) Lost() <-chan struct{} { return l.lost }

func (l *lease) Renew(ctx context.Context) (time.Duration, error) {
	l.renewed.Add(1)
	if l.renew == nil {
		return l.ttl, nil
	}
	return l.renew(ctx)
}

func (l *lease) Revoke(ctx context.Context) error {
	l.revoked.Add(1)
	if l.revoke == nil {
		return nil
	}
	return l.revoke(ctx)
}

// granting returns a driver that grants these leases, one after the other, and
// then none.
func granting(leases ...*lease) *fake {
	var next atomic.Int64
	return &fake{grant: func(context.Context, time.Duration) (driver.Lease, error) {
		i := int(next.Add(1)) - 1
		if i >= len(leases) {
			return nil, fmt.Errorf("%w: no lease is left", driver.ErrUnavailable)
		}
		return leases[i], nil
	}}
}

// silence waits for ctx, as a call to a silent store does.
func silence(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("%w: no reply: %w", driver.ErrUnavailable, ctx.Err())
}
