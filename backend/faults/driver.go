package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

var _ driver.Driver = (*Driver)(nil)

// Read implements driver.Driver.
func (d *Driver) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	f := d.begin(Read, driver.Txn{})
	if err := d.send(ctx, f); err != nil {
		return nil, err
	}
	read, err := d.inner.Read(ctx, targets...)
	if lost := d.reply(ctx, f); lost != nil {
		return nil, fmt.Errorf("%w: %w", driver.ErrUnavailable, lost)
	}
	return read, err
}

// Commit implements driver.Driver.
func (d *Driver) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if err := txn.Check(); err != nil {
		return driver.Result{}, err
	}
	f := d.begin(Commit, txn)
	if f.LandLater > 0 && !f.Refuse {
		if !d.later(f.Delay+f.LandLater, func() { _, _ = d.inner.Commit(d.life, txn) }) {
			return driver.Result{}, driver.ErrClosed
		}
		return driver.Result{}, fmt.Errorf("%w: under way by a fault", driver.ErrIndeterminate)
	}
	if err := d.send(ctx, f); err != nil {
		return driver.Result{}, err
	}
	result, err := d.inner.Commit(ctx, txn)
	if lost := d.reply(ctx, f); lost != nil && !errors.Is(err, driver.ErrUnavailable) {
		return driver.Result{}, fmt.Errorf("%w: %w", driver.ErrIndeterminate, lost)
	}
	return result, err
}

// later runs do after a while, unless the driver has closed by then. It reports
// false if it has closed already.
func (d *Driver) later(after time.Duration, do func()) bool {
	return d.running.Go(func() {
		if d.wait(d.life, after) == nil {
			do()
		}
	})
}

// Watch implements driver.Driver.
func (d *Driver) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	f := d.begin(Watch, driver.Txn{})
	if err := d.send(ctx, f); err != nil {
		return err
	}
	d.mu.Lock()
	cut := d.cut
	d.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-cut:
			cancel(errCut)
		case <-ctx.Done():
		}
	}()
	err := d.inner.Watch(ctx, target, func(entries []driver.Entry) {
		if d.wait(ctx, f.ReplyDelay) == nil {
			changed(entries)
		}
	})
	if errors.Is(context.Cause(ctx), errCut) {
		return fmt.Errorf("%w: %w", driver.ErrUnavailable, errCut)
	}
	return err
}

var errCut = errors.New("the watch was cut by a fault")

// Grant implements driver.Driver.
func (d *Driver) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	f := d.begin(Grant, driver.Txn{})
	if err := d.send(ctx, f); err != nil {
		return nil, err
	}
	granted, err := d.inner.Grant(ctx, ttl)
	if lost := d.reply(ctx, f); lost != nil {
		return nil, fmt.Errorf("%w: %w", driver.ErrUnavailable, lost)
	}
	if err != nil {
		return nil, err
	}
	return d.lease(granted), nil
}

// Generation implements driver.Driver.
func (d *Driver) Generation() (uint64, <-chan struct{}) { return d.inner.Generation() }

// Close implements driver.Driver. Nothing lands any more once it has returned.
func (d *Driver) Close(ctx context.Context) error {
	d.end()
	return errors.Join(d.running.Close(ctx), d.inner.Close(ctx))
}
