package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quorate/quorate/backend/driver"
)

// ErrAsynchronous says that the server has standbys and that no commit waits
// for any of them. If such a standby is promoted, commits and renewals that
// were acknowledged are gone: two processes may then own the same thing. It is
// harmless where no such standby is ever promoted.
var ErrAsynchronous = errors.New("standbys are asynchronous: synchronous_standby_names is empty")

// ErrStandby says that the pool is connected to a standby. No call succeeds
// there.
var ErrStandby = errors.New("the server is a standby")

// Check asks the server whether it is set up as Quorate needs it. It returns
// ErrAsynchronous, ErrStandby, ErrInvalid for a schema of another version, or
// the error for want of an answer. A backup that streams counts as a standby
// while it runs.
func Check(ctx context.Context, pool *pgxpool.Pool, options *Options) error {
	d, err := NewDriver(pool, options)
	if err != nil {
		return err
	}
	rows, err := d.call(ctx, d.sql("status()"))
	if err == nil && len(rows) != 1 {
		err = errEmptyAnswer
	}
	if gone := d.Close(ctx); err == nil {
		err = gone
	}
	if err != nil {
		return fmt.Errorf("checking the server: %w", classify(ctx, err, false))
	}
	status := rows[0]
	var wrong []error
	if found := status.number(0); found != version {
		wrong = append(wrong, fmt.Errorf("%w: schema %s has version %d, this package knows version %d", driver.ErrInvalid, d.opts.Schema, found, version))
	}
	if status.truth(1) {
		wrong = append(wrong, ErrStandby)
	}
	if status.number(2) > 0 && !status.truth(3) {
		wrong = append(wrong, ErrAsynchronous)
	}
	return errors.Join(wrong...)
}
