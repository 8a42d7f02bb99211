package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Driver is one client of a Server: a driver.Driver, with a connection that
// can be disturbed (Cut, Silence, Mute, Depose, Heal). Its fields belong to the
// server's mutex.
type Driver struct {
	server     *Server
	link       link
	change     chan struct{} // closed, and replaced, when link changes
	generation driver.Generation
	stats      Stats
}

var _ driver.Driver = (*Driver)(nil)

// NewDriver returns a client of server, which owns nothing but itself. Drivers
// of one server are like processes that share a store.
func NewDriver(server *Server) *Driver {
	server.mu.Lock()
	defer server.mu.Unlock()
	d := &Driver{server: server, change: make(chan struct{})}
	server.drivers[d] = struct{}{}
	return d
}

// Generation implements driver.Driver.
func (d *Driver) Generation() (uint64, <-chan struct{}) { return d.generation.Present() }

// Close implements driver.Driver. The driver's leases are left to expire.
func (d *Driver) Close(context.Context) error {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	delete(d.server.drivers, d)
	return nil
}

// call sends one request: it lets apply take effect at the server, if the
// request gets there, and returns its outcome, if the reply gets back. doubt is
// the error of a request that may or may not have taken effect.
func call[T any](ctx context.Context, d *Driver, counter func(*Stats) *uint64, doubt error, apply func() (T, error)) (T, error) {
	var none T
	d.server.mu.Lock()
	if err := d.unsent(ctx); err != nil {
		d.server.mu.Unlock()
		return none, err
	}
	if d.link == up || d.link == muted {
		d.count(counter)
		result, err := apply()
		if d.link == up {
			d.server.mu.Unlock()
			return result, err
		}
	}
	change := d.change
	d.server.mu.Unlock()
	return none, d.stall(ctx, change, doubt)
}

// unsent says why a request cannot be sent at all, if it cannot.
func (d *Driver) unsent(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: not sent: %w", driver.ErrUnavailable, ctx.Err())
	case d.server.down:
		return errDown
	case d.link == cut:
		return errCut
	}
	return nil
}

// stall waits for a reply that does not come, until the caller gives up or the
// connection changes.
func (d *Driver) stall(ctx context.Context, change <-chan struct{}, doubt error) error {
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: no reply: %w", doubt, ctx.Err())
	case <-timer.C:
		return fmt.Errorf("%w: no reply within %v", doubt, Patience)
	case <-change:
		return fmt.Errorf("%w: the connection was lost before the reply", doubt)
	}
}
