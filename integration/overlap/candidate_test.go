package overlap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/election"
)

// candidateEnv holds a task: a process of this test binary that finds it in
// its environment is a candidate.
const candidateEnv = "QUORATE_OVERLAP_CANDIDATE"

// task is what a candidate process is to do.
type task struct {
	Store  string // which, a key of stores
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

// runCandidate is the main function of a candidate process. It ends when its
// standard input does: with its parent.
func runCandidate(arg string) int {
	var tk task
	if err := json.Unmarshal([]byte(arg), &tk); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		cancel()
	}()
	j, err := openJournal(tk.Out)
	if err == nil {
		if tk.Stock {
			err = stores[tk.Store].stock(ctx, tk, j)
		} else {
			err = lead(ctx, tk, j)
		}
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// lead campaigns with Quorate for ever.
func lead(ctx context.Context, tk task, j *journal) error {
	store, err := stores[tk.Store].open(tk, &backend.Options{
		Namespace: "overlap", TTL: tk.TTL,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Trace: &backend.Trace{
			SessionLost: func(l backend.SessionLost) { j.write("lost", 0, l.Session) },
		},
	})
	if err != nil {
		return err
	}
	defer store.Close()
	e, err := election.New(store, tk.Name, &election.Options{Strict: tk.Strict})
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
		stale.Go(func() { tryStale(ctx, tk, store, l, j) })
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
		began := monotonic()
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
	now := monotonic()
	kind := "alive" // its context is
	if valid() {
		kind = "valid"
	}
	j.line(now, kind, term, "")
}

func (j *journal) write(kind string, term uint64, note string) {
	j.line(monotonic(), kind, term, note)
}

func (j *journal) line(at int64, kind string, term uint64, note string) {
	fmt.Fprintf(j.f, "%d %s %d %q\n", at, kind, term, note)
}

// monotonic reads CLOCK_MONOTONIC, which all processes of a machine share.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}
