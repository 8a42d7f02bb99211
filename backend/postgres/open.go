package postgres

import (
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quorate/quorate/backend"
)

// New returns a Store over a pool that the caller owns: the pool stays open
// when the Store closes, and must stay open until then. New does no I/O, so the
// server need not be up. Nil options are good; a nil pool and options that make
// no sense are [backend.ErrInvalid]. Use [NewDriver] with [backend.New] where
// the adapter's own options are needed.
func New(pool *pgxpool.Pool, options *backend.Options) (*backend.Store, error) {
	d, err := NewDriver(pool, nil)
	if err != nil {
		return nil, err
	}
	return backend.New(d, options)
}
