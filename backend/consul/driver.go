package consul

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

// Driver is the driver for Consul. Use New, or backend.New around it where the
// adapter's own options are needed.
type Driver struct {
	client *api.Client
	opts   Options

	// life ends, with the cause ErrClosed, when Close begins.
	life context.Context
	end  context.CancelCauseFunc

	running driver.Running // the prefix watcher

	mu     sync.Mutex // guards leases
	leases map[string]*lease

	calls   chan struct{} // see maxCalls
	granted atomic.Bool   // a session, ever

	pacer    driver.Pacer
	indexes  indexes
	queries  queryLimiter
	prefixes prefixWatcher
	health   health
}

var _ driver.Driver = (*Driver)(nil)

// NewDriver returns a driver over client, which stays the caller's. It does no
// I/O. A nil client, options that make no sense and a client that makes its
// transport repeat requests are ErrInvalid.
func NewDriver(client *api.Client, options *Options) (*Driver, error) {
	if client == nil {
		return nil, fmt.Errorf("%w: the client is nil", driver.ErrInvalid)
	}
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	for _, header := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if _, ok := client.Headers()[http.CanonicalHeaderKey(header)]; ok {
			// With it net/http sends a request again when a connection breaks
			// before the reply: a commit could be applied twice.
			return nil, fmt.Errorf("%w: the client sends the header %s", driver.ErrInvalid, header)
		}
	}
	d := &Driver{client: client, opts: opts, calls: make(chan struct{}, maxCalls), leases: make(map[string]*lease)}
	d.life, d.end = context.WithCancelCause(context.Background())
	d.indexes.began = d.health.again
	d.queries.max = opts.MaxBlockingQueries - 1 // the prefix watcher has one
	d.prefixes.init(d)
	d.health.init()
	return d, nil
}

// Generation implements driver.Driver.
func (d *Driver) Generation() (uint64, <-chan struct{}) { return d.indexes.generation.Present() }

// Close ends the common blocking query and waits for it. The client stays open,
// and sessions are left to expire.
func (d *Driver) Close(ctx context.Context) error {
	d.end(driver.ErrClosed)
	if err := d.running.Close(ctx); err != nil {
		return fmt.Errorf("consul driver: %w", err)
	}
	return nil
}
