package overlap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/harness"
)

// task is what a candidate process is to do.
type task struct {
	Store  string // the store's name in package harness
	Addrs  []string
	TTL    time.Duration
	Tick   time.Duration // ZooKeeper's
	Name   string        // of the election
	Strict bool
	Stock  bool   // the store's stock recipe instead of ours
	Out    string // the file it appends to
}

// every is how often a candidate writes while it leads.
const every = 5 * time.Millisecond

// open opens the Store of a candidate process, through a client of its own.
func (tk task) open(opts *backend.Options) (*harness.Opened, error) {
	store := harness.Stores[tk.Store]
	if tk.Tick > 0 {
		store = harness.ZooKeeper(tk.Tick)
	}
	return store.Open(tk.Addrs, opts)
}

// stocks run, for each store, its stock recipe.
var stocks = map[string]func(ctx context.Context, tk task, j *journal) error{
	"etcd":      stockEtcd,
	"consul":    stockConsul,
	"zookeeper": stockZooKeeper,
	"postgres":  stockPostgres,
}

// runCandidate is the main function of a candidate process. It ends when its
// standard input does: with its parent.
func runCandidate(tk task, logger *slog.Logger) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone := harness.ParentGone()
	go func() {
		<-gone
		cancel()
	}()
	j, err := openJournal(tk.Out)
	if err == nil {
		if tk.Stock {
			err = stocks[tk.Store](ctx, tk, j)
		} else {
			err = lead(ctx, tk, logger, j)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// lead campaigns with Quorate for ever.
func lead(ctx context.Context, tk task, logger *slog.Logger, j *journal) error {
	store, err := tk.open(&backend.Options{
		Namespace: "overlap", TTL: tk.TTL, Logger: logger,
		Trace: &backend.Trace{
			SessionLost: func(l backend.SessionLost) { j.write("lost", 0, l.Session) },
		},
	})
	if err != nil {
		return err
	}
	defer store.Close()
	e, err := election.New(store.Store, tk.Name, &election.Options{Strict: tk.Strict})
	if err != nil {
		return err
	}
	var stale sync.WaitGroup
	defer stale.Wait()
	return e.Run(ctx, func(leading context.Context, l *election.Leadership) error {
		j.write("began", l.Term(), "")
		for leading.Err() == nil {
			j.beat(l.Term(), l.Valid)
			pause(every)
		}
		j.write("ended", l.Term(), context.Cause(leading).Error())
		stale.Go(func() { tryStale(ctx, tk, store.Store, l, j) })
		return nil
	})
}

// tryStale writes to the store under the guard of a leadership that has ended,
// until it is refused. The body does not wait for that: while it runs the
// office is not given up, and the writes are applied as long as it stands.
func tryStale(ctx context.Context, tk task, store *backend.Store, l *election.Leadership, j *journal) {
	ctx, cancel := context.WithTimeout(ctx, 10*tk.TTL)
	defer cancel()
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("stale/%s/%d/%d", tk.Name, l.Term(), i)
		began := harness.Now()
		_, err := store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}}, l.Guard())
		switch {
		case err == nil:
			// The office was still there: the trust ends before it does. It is
			// wrong only if another led already when the commit was sent.
			j.line(began, "stale-applied", l.Term(), "")
		case errors.Is(err, backend.ErrFenced):
			j.write("stale-fenced", l.Term(), "")
			return
		case errors.Is(err, backend.ErrClosed):
			return
		}
		pause(20 * time.Millisecond)
	}
}

func pause(d time.Duration) { <-time.After(d) }

// journal is the file a candidate appends to, a line at a time.
type journal struct{ f *os.File }

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &journal{f}, err
}

// beat records that the candidate believes it leads. The clock is read before
// valid is asked: a line that says so was true at its time.
func (j *journal) beat(term uint64, valid func() bool) {
	now := harness.Now()
	kind := "alive" // its context is
	if valid() {
		kind = "valid"
	}
	j.line(now, kind, term, "")
}

func (j *journal) write(kind string, term uint64, note string) {
	j.line(harness.Now(), kind, term, note)
}

func (j *journal) line(at int64, kind string, term uint64, note string) {
	fmt.Fprintf(j.f, "%d %s %d %q\n", at, kind, term, note)
}
