package checkpoints

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/restart"
)

// task is what a worker process is to do.
type task struct {
	Store    string // the store's name in package harness
	Addrs    []string
	ID       string
	Items    int
	Postgres string // its URL
	PGAddr   string
}

// runWorker is the main function of a worker: a service as one would write it.
func runWorker(tk task, logger *slog.Logger) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone := harness.ParentGone()
	go func() {
		<-gone
		cancel()
	}()
	store, err := harness.Stores[tk.Store].Open(tk.Addrs, &backend.Options{Namespace: "checkpoints", TTL: ttl, Logger: logger})
	if err != nil {
		return err
	}
	code := restart.Run(ctx, func(ctx context.Context) error {
		if err := restart.Await(ctx, restart.TCP(tk.PGAddr), restart.Store(store.Store)); err != nil {
			return err
		}
		return restart.Supervise(ctx, func(ctx context.Context) error {
			return work(ctx, store.Store, tk)
		}, &restart.Policy{Name: tk.ID, Logger: logger})
	}, &restart.Options{Close: []io.Closer{store}, DrainTimeout: 5 * time.Second, Logger: logger})
	if code != 0 {
		return fmt.Errorf("restart.Run returned %d", code)
	}
	return nil
}

// work does the items that are left, in turn, while it leads.
func work(ctx context.Context, store *backend.Store, tk task) error {
	db, err := pgx.Connect(ctx, tk.Postgres)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	e, err := election.New(store, "worker", &election.Options{ID: tk.ID})
	if err != nil {
		return err
	}
	progress, err := restart.NewCheckpoint[int](store, "items", nil)
	if err != nil {
		return err
	}
	return e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
		next, _, err := progress.Claim(ctx, lead.Guard())
		if err != nil {
			return err
		}
		term := int64(lead.Term())
		if err := note(ctx, db, "claimed", term, next); err != nil {
			return err
		}
		for ; next < tk.Items; next++ {
			if ctx.Err() != nil {
				return heedless(ctx, db, progress, term, next)
			}
			if err := effect(ctx, db, term, next); err != nil {
				return errors.Join(err, heedless(ctx, db, progress, term, next))
			}
			if err := save(ctx, db, progress, term, next+1); err != nil {
				return errors.Join(err, heedless(ctx, db, progress, term, next+1))
			}
		}
		return nil
	})
}

// heedless does one more item, and saves it, though the leadership may be over:
// as code would that does not heed its context.
func heedless(ctx context.Context, db *pgx.Conn, progress *restart.Checkpoint[int], term int64, item int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(effect(ctx, db, term, item), save(ctx, db, progress, term, item+1))
}

// schema: the effects are what must be right. Attempts and notes are the test's
// own, to judge that by. An attempt has its number when it holds the fence, or
// was refused by it.
const schema = `
CREATE TABLE fence (term bigint NOT NULL);
INSERT INTO fence VALUES (0);
CREATE TABLE effects (item bigint PRIMARY KEY, term bigint NOT NULL, at bigserial);
CREATE TABLE attempts (id bigserial PRIMARY KEY, item bigint NOT NULL, term bigint NOT NULL, fenced boolean NOT NULL);
CREATE TABLE notes (id bigserial PRIMARY KEY, what text NOT NULL, term bigint NOT NULL, value bigint NOT NULL);
`

// effect does one item, in one statement: refused if a later term has been here
// (the fence), and done once however often it is repeated. Its outcome is
// waited for whatever becomes of ctx: the client would close the connection.
func effect(ctx context.Context, db *pgx.Conn, term int64, item int) error {
	_, err := db.Exec(context.WithoutCancel(ctx), `
		WITH passed AS (UPDATE fence SET term = $2::bigint WHERE term <= $2::bigint RETURNING term),
		tried AS (INSERT INTO attempts (item, term, fenced)
			SELECT $1::bigint, $2::bigint, n = 0 FROM (SELECT count(*) AS n FROM passed) AS p)
		INSERT INTO effects (item, term) SELECT $1::bigint, $2::bigint FROM passed ON CONFLICT (item) DO NOTHING`, item, term)
	if err != nil {
		return fmt.Errorf("effect: %w", err)
	}
	return nil
}

// save saves the progress, and notes before and after what it was told.
func save(ctx context.Context, db *pgx.Conn, progress *restart.Checkpoint[int], term int64, value int) error {
	if err := note(ctx, db, "saving", term, value); err != nil {
		return err
	}
	err := progress.Save(ctx, value)
	what := "saved"
	switch {
	case errors.Is(err, backend.ErrIndeterminate):
		what = "in doubt"
	case errors.Is(err, backend.ErrFenced):
		what = "fenced"
	case err != nil:
		what = "failed"
	}
	return errors.Join(err, note(ctx, db, what, term, value))
}

func note(ctx context.Context, db *pgx.Conn, what string, term int64, value int) error {
	_, err := db.Exec(context.WithoutCancel(ctx), "INSERT INTO notes (what, term, value) VALUES ($1, $2, $3)", what, term, value)
	if err != nil {
		return fmt.Errorf("note: %w", err)
	}
	return nil
}
