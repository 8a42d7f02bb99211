package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

// Defaults and bounds of Options.
const (
	defaultBlockingQueries = 32
	defaultWait            = 10 * time.Second
	maxWait                = time.Minute
)

// Options are the adapter's own options; nil stands for the defaults, as does
// the zero value of each field.
type Options struct {
	// Node is the node of the catalog that sessions hang on; by default that
	// of the agent which the client talks to. It must be registered: to name
	// one that is not is ErrInvalid. One that was there, and an agent's own,
	// are waited for: agents register themselves again.
	Node string

	// MaxBlockingQueries bounds the blocking queries, each with a connection
	// of its own, that are open at a time; 32 by default.
	MaxBlockingQueries int

	// Wait is how long a blocking query waits for a change; 10 s by default,
	// one minute at most. It bounds how long a watch may stay blind behind a
	// server that fell silent, and costs a request per watch each time.
	Wait time.Duration
}

func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.MaxBlockingQueries == 0 {
		opts.MaxBlockingQueries = defaultBlockingQueries
	}
	if opts.MaxBlockingQueries < 0 {
		return opts, fmt.Errorf("%w: Options.MaxBlockingQueries is negative", driver.ErrInvalid)
	}
	if opts.Wait == 0 {
		opts.Wait = defaultWait
	}
	if opts.Wait < 0 || opts.Wait > maxWait {
		return opts, fmt.Errorf("%w: Options.Wait is %v, at most %v is allowed", driver.ErrInvalid, opts.Wait, maxWait)
	}
	return opts, nil
}

// Driver is the driver for Consul. Use New, or backend.New around it where the
// adapter's own options are needed.
type Driver struct {
	client *api.Client
	opts   Options

	// life ends, with the cause ErrClosed, when Close begins.
	life context.Context
	end  context.CancelCauseFunc

	mu     sync.Mutex
	active int           // calls under way
	idle   chan struct{} // closed when the last of them has ended after Close
	leases map[string]*lease

	calls   chan struct{} // see maxCalls
	granted atomic.Bool   // a session, ever

	indexes indexes
	queries queries
	bell    bell
	health  health
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
	d := &Driver{client: client, opts: opts, calls: make(chan struct{}, maxCalls), idle: make(chan struct{}), leases: make(map[string]*lease)}
	d.life, d.end = context.WithCancelCause(context.Background())
	d.indexes.generation, d.indexes.began = 1, d.health.again
	d.queries.limit = opts.MaxBlockingQueries - 1 // one is the bell's
	d.bell.init(d)
	d.health.init()
	return d, nil
}

// begin opens a call: its context also ends when the driver is closed. Every
// call that begins must end.
func (d *Driver) begin(ctx context.Context) (_ context.Context, end func(), _ error) {
	if ctx.Err() != nil {
		return nil, nil, fmt.Errorf("%w: %w", driver.ErrUnavailable, ctx.Err())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.life.Err() != nil {
		return nil, nil, driver.ErrClosed
	}
	d.active++
	call, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.life, func() { cancel(driver.ErrClosed) })
	return call, func() {
		stop()
		cancel(nil)
		d.done()
	}, nil
}

func (d *Driver) done() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active--
	if d.active == 0 && d.life.Err() != nil {
		close(d.idle)
	}
}

// Close ends all calls under way and waits for them. The client stays open,
// and sessions are left to expire.
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
			return fmt.Errorf("%w: calls still under way: %w", driver.ErrUnavailable, ctx.Err())
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
