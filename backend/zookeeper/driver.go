package zookeeper

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/quorate/quorate/backend/driver"
)

// Driver is the driver for ZooKeeper. Use Open, or backend.New around it where
// the adapter's own options are needed.
type Driver struct {
	opts    Options
	servers []string

	// life ends, with the cause ErrClosed, when Close begins.
	life context.Context
	end  context.CancelCauseFunc

	running driver.Running // dials and links

	mu     sync.Mutex // guards leases
	leases map[string]*lease

	common  *line // for all that names no lease
	history history
}

var _ driver.Driver = (*Driver)(nil)

// NewDriver returns a driver for the ensemble whose servers are given. It does
// no I/O. What is ErrInvalid to Open is so here, and options that make no
// sense are.
func NewDriver(servers []string, options *Options) (*Driver, error) {
	servers, err := addresses(servers)
	if err != nil {
		return nil, err
	}
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	// Many clients with one list of servers spread over them.
	rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	d := &Driver{opts: opts, servers: servers, leases: make(map[string]*lease)}
	d.life, d.end = context.WithCancelCause(context.Background())
	d.common = newLine(d, commonTimeout, false)
	d.history.init()
	return d, nil
}

// Generation implements driver.Driver.
func (d *Driver) Generation() (uint64, <-chan struct{}) { return d.history.generation.Present() }

// Close closes the connections and waits until nothing is left of them.
// Sessions are left to expire.
func (d *Driver) Close(ctx context.Context) error {
	d.end(driver.ErrClosed)
	if err := d.running.Close(ctx); err != nil {
		return fmt.Errorf("zookeeper driver: connections are still closing: %w", err)
	}
	return nil
}
