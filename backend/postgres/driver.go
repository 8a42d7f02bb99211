package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quorate/quorate/backend/driver"
)

// Driver implements [driver.Driver] over a pool of connections.
type Driver struct {
	pool *pgxpool.Pool
	opts Options

	history history

	// life ends, with the cause ErrClosed, when Close begins.
	life context.Context
	end  context.CancelCauseFunc

	running sync.WaitGroup // calls, and what they started

	mu     sync.Mutex // guards what follows
	closed bool       // no further call begins
	leases map[string]*lease
	hub    *hub // nil while nothing is watched
}

var _ driver.Driver = (*Driver)(nil)

// NewDriver returns a driver over a pool, which stays the caller's to close. It
// does no I/O. A nil pool and options that make no sense are ErrInvalid.
func NewDriver(pool *pgxpool.Pool, options *Options) (*Driver, error) {
	if pool == nil {
		return nil, fmt.Errorf("%w: the pool is nil", driver.ErrInvalid)
	}
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Driver{pool: pool, opts: opts, leases: make(map[string]*lease)}
	d.life, d.end = context.WithCancelCause(context.Background())
	d.history.mark.generation = 1
	return d, nil
}

// Close ends all calls under way with ErrClosed and waits for them, until ctx
// ends. Leases are left to expire.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.end(driver.ErrClosed)
	done := make(chan struct{})
	go func() {
		d.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("postgres driver: calls are still under way: %w", context.Cause(ctx))
	}
}

// begin opens a call: its context ends with the caller's and with the driver.
// The caller must call done.
func (d *Driver) begin(ctx context.Context) (_ context.Context, done func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil, driver.ErrClosed
	}
	d.running.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.life, func() { cancel(driver.ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		d.running.Done()
	}, nil
}

// ended adds to an error that the call's context ended, and how.
func ended(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return err
	case errors.Is(cause, driver.ErrClosed) && !errors.Is(err, driver.ErrIndeterminate):
		return fmt.Errorf("%w: %w", driver.ErrClosed, err)
	case !errors.Is(err, cause):
		err = fmt.Errorf("%w: %w", err, cause)
	}
	if !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", err, ctx.Err())
	}
	return err
}
