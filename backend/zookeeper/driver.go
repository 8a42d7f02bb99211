package zookeeper

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Driver is the driver for ZooKeeper. Use Open, or backend.New with a Driver if
// you need the adapter's own options.
type Driver struct {
	opts    Options
	servers *servers
	reads   readSizes
	relist  time.Duration // the pause between two complete reads of what is watched

	// life ends, with the cause ErrClosed, when Close begins.
	life context.Context
	end  context.CancelCauseFunc

	running driver.Running // dials and connections

	mu     sync.Mutex // guards leases
	leases map[string]*lease

	common      *reconnector // for everything that names no lease
	generations generations
}

var (
	_ driver.Driver = (*Driver)(nil)
	_ driver.Timed  = (*Driver)(nil)
)

// NewDriver returns a driver for the ensemble of the given servers. It does no
// I/O. It returns ErrInvalid for the same addresses as Open, and for invalid
// options.
func NewDriver(servers []string, options *Options) (*Driver, error) {
	addresses, err := checkAddresses(servers)
	if err != nil {
		return nil, err
	}
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	// Clients with the same list of servers spread over them.
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	d := &Driver{opts: opts, servers: newServers(addresses), relist: relist, leases: make(map[string]*lease)}
	d.life, d.end = context.WithCancelCause(context.Background())
	d.common = newReconnector(d, commonTimeout, false)
	d.generations.init()
	return d, nil
}

// CheckTiming implements driver.Timed. A renewal is worth what the TTL has
// beyond a tick, less the time since the last touch. A margin of more than half
// of that would lose the session at the first delay.
func (d *Driver) CheckTiming(ttl, margin time.Duration) error {
	spare := max(ttl, 2*d.opts.Tick) - d.opts.Tick
	if margin > spare/2 {
		return fmt.Errorf("%w: a margin of %v is more than half of what a TTL of %v has beyond a tick of %v, which is %v",
			driver.ErrInvalid, margin, ttl, d.opts.Tick, spare)
	}
	return nil
}

// Generation implements driver.Driver.
func (d *Driver) Generation() (uint64, <-chan struct{}) { return d.generations.generation.Present() }

// Close closes the connections and waits until nothing is left of them.
// Sessions are left to expire.
func (d *Driver) Close(ctx context.Context) error {
	d.end(driver.ErrClosed)
	if err := d.running.Close(ctx); err != nil {
		return fmt.Errorf("zookeeper driver: connections are still closing: %w", err)
	}
	return nil
}
