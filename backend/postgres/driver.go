package postgres

import (
	"context"
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

	running driver.Running // the hub, and the ends of abandoned statements

	mu     sync.Mutex // guards what follows
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
	return d, nil
}

// Generation implements driver.Driver.
func (d *Driver) Generation() (uint64, <-chan struct{}) { return d.history.generation.Present() }

// Close ends what runs beside the calls and waits for it. Leases are left to
// expire.
func (d *Driver) Close(ctx context.Context) error {
	d.end(driver.ErrClosed)
	if err := d.running.Close(ctx); err != nil {
		return fmt.Errorf("postgres driver: %w", err)
	}
	return nil
}
