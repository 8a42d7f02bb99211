package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Driver is the driver for ZooKeeper. Use Open, or backend.New around it where
// the adapter's own options are needed.
type Driver struct {
	opts    Options
	servers *servers
	reads   readSizes
	relist  time.Duration // how often what is watched is read again

	// life ends, with the cause ErrClosed, when Close begins.
	life context.Context
	end  context.CancelCauseFunc

	mu     sync.Mutex
	active int           // calls, dials and connections under way
	idle   chan struct{} // closed when the last of them has ended after Close
	leases map[string]*lease

	common      *reconnector // for all that names no lease
	generations generations
}

var (
	_ driver.Driver = (*Driver)(nil)
	_ driver.Timed  = (*Driver)(nil)
)

// NewDriver returns a driver for the ensemble whose servers are given. It does
// no I/O. What is ErrInvalid to Open is so here, and options that make no
// sense are.
func NewDriver(servers []string, options *Options) (*Driver, error) {
	addresses, err := checkAddresses(servers)
	if err != nil {
		return nil, err
	}
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	// Many clients with one list of servers spread over them.
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	d := &Driver{opts: opts, servers: newServers(addresses), relist: relist, idle: make(chan struct{}), leases: make(map[string]*lease)}
	d.life, d.end = context.WithCancelCause(context.Background())
	d.common = newReconnector(d, commonTimeout, false)
	d.generations.init()
	return d, nil
}

// CheckTiming implements driver.Timed. A renewal is worth what the TTL has
// beyond a tick, less the time since the last touch, so a margin of more than
// half of that would lose the session at the first delay.
func (d *Driver) CheckTiming(ttl, margin time.Duration) error {
	spare := max(ttl, 2*d.opts.Tick) - d.opts.Tick
	if margin > spare/2 {
		return fmt.Errorf("%w: a margin of %v is more than half of what a TTL of %v has beyond a tick of %v, which is %v",
			driver.ErrInvalid, margin, ttl, d.opts.Tick, spare)
	}
	return nil
}

// begin opens a call: its context also ends when the driver is closed. Every
// call that begins must end.
func (d *Driver) begin(ctx context.Context) (_ context.Context, end func(), _ error) {
	if ctx.Err() != nil {
		if d.life.Err() != nil {
			return nil, nil, driver.ErrClosed
		}
		return nil, nil, fmt.Errorf("%w: %w", driver.ErrUnavailable, ctx.Err())
	}
	if !d.enter() {
		return nil, nil, driver.ErrClosed
	}
	call, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.life, func() { cancel(driver.ErrClosed) })
	return call, func() {
		stop()
		cancel(nil)
		d.leave()
	}, nil
}

// enter lets something begin that Close waits for; it ends with leave. It
// reports false once Close has begun.
func (d *Driver) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.life.Err() != nil {
		return false
	}
	d.active++
	return true
}

// stay is enter for who has entered already, and goes on for longer.
func (d *Driver) stay() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active++
}

func (d *Driver) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active--
	if d.active == 0 && d.life.Err() != nil {
		close(d.idle)
	}
}

// Close ends all calls under way, closes the connections and waits until
// nothing is left of them. Sessions are left to expire.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.life.Err() == nil {
		d.end(driver.ErrClosed)
		if d.active == 0 {
			close(d.idle)
		}
	}
	d.mu.Unlock()
	select {
	case <-d.idle:
		return nil
	case <-ctx.Done():
		select {
		case <-d.idle:
			return nil
		default:
			return fmt.Errorf("%w: connections still closing: %w", driver.ErrUnavailable, ctx.Err())
		}
	}
}

// ended says what the end of a call's context makes of err: ErrClosed when it
// was the driver that ended it, and otherwise the context's error is in it.
func (d *Driver) ended(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case d.life.Err() != nil && errors.Is(context.Cause(ctx), driver.ErrClosed):
		if errors.Is(err, driver.ErrClosed) {
			return err
		}
		return fmt.Errorf("%w: %w", driver.ErrClosed, err)
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("%w: %w", err, ctx.Err())
	}
	return err
}
