// Command external keeps its state in PostgreSQL: the leader writes, with its
// term, and the database itself refuses a leader of the past.
//
//	go run -C examples ./state/external -store etcd://127.0.0.1:2379 -database postgres://...   # twice; end the one that writes
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/restart"
)

func main() {
	openStore := open.Flags(flag.CommandLine, &backend.Options{Namespace: "example-state-external"})
	database := flag.String("database", "", "the PostgreSQL database, as `postgres://user:password@host/name`")
	pace := flag.Duration("pace", 50*time.Millisecond, "how far apart two writes are")
	heedless := flag.Bool("heedless", false, "write once more when it is told to stop or does not lead any more, as code would that does not heed its context")
	flag.Parse()
	store, err := openStore()
	var config *pgx.ConnConfig
	if err == nil {
		if *database == "" {
			err = errors.New("-database is needed")
		} else {
			config, err = pgx.ParseConfig(*database)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "external:", err)
		os.Exit(restart.ExitFailed)
	}
	x := &external{store: store, database: config, pace: *pace, heedless: *heedless}
	// Store and database may come in any order: it fails, and is tried again.
	restart.Main(func(ctx context.Context) error {
		return restart.Supervise(ctx, x.run, &restart.Policy{Name: "writer"})
	}, &restart.Options{Close: []io.Closer{store}})
}

type external struct {
	store    *backend.Store
	database *pgx.ConnConfig
	pace     time.Duration
	heedless bool
}

// schema has one row, whose term is that of the last leader that was here.
const schema = `
CREATE TABLE IF NOT EXISTS ledger (name text PRIMARY KEY, entries bigint NOT NULL, term bigint NOT NULL);
INSERT INTO ledger VALUES ('main', 0, 0) ON CONFLICT DO NOTHING`

// What a leader does first, and then with each entry. Each is one statement, on
// a row that it locks, so no leader comes between the look at the term and the
// write. Where there are more rows than can carry a term, the fence is a row of
// its own, updated first in the same transaction.
const (
	begin = `UPDATE ledger SET term = $1 WHERE name = 'main' AND term <= $1 RETURNING entries`
	enter = `UPDATE ledger SET entries = entries + 1, term = $1 WHERE name = 'main' AND term <= $1 RETURNING entries`
)

var errStale = errors.New("refused by the database: a later leader has been there")

// run writes while this process leads, until ctx ends.
func (x *external) run(ctx context.Context) error {
	db, err := pgx.ConnectConfig(ctx, x.database)
	if err != nil {
		return err
	}
	defer db.Close(context.WithoutCancel(ctx))
	if _, err := db.Exec(ctx, schema); err != nil {
		return err
	}
	e, err := election.New(x.store, "ledger", nil)
	if err != nil {
		return err
	}
	return e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
		err := x.lead(ctx, db, lead)
		if x.heedless {
			n, err := write(ctx, db, enter, lead.Term())
			fmt.Printf("after term %d: entry %d, %v\n", lead.Term(), n, err)
		}
		return err
	})
}

func (x *external) lead(ctx context.Context, db *pgx.Conn, lead *election.Leadership) error {
	// The term goes ahead of the first entry: from here on nothing of an earlier
	// leader gets in, however late it comes.
	n, err := write(ctx, db, begin, lead.Term())
	if err != nil {
		return err
	}
	fmt.Printf("leading, term %d: goes on after entry %d\n", lead.Term(), n)
	tick := time.NewTicker(x.pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		n, err := write(ctx, db, enter, lead.Term())
		if err != nil {
			return err // the entry may be there: its reply was lost
		}
		fmt.Printf("entry %d, term %d\n", n, lead.Term())
	}
}

// write executes a statement under a term, and returns how many entries there
// are. It is not cut short when ctx ends: the client would close the connection,
// and nobody knew what became of it.
func write(ctx context.Context, db *pgx.Conn, statement string, term uint64) (n int64, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = db.QueryRow(ctx, statement, int64(term)).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, errStale
	}
	return n, err
}
