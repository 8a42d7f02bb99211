package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/election"
)

// taskEnv marks a process of this program as a worker, and holds its task.
const taskEnv = "QUORATE_TOUR_WORKER"

// task is what a worker needs to know.
type task struct {
	ID        string
	URL       string
	Namespace string
	TTL       time.Duration
}

// event is what a worker reports: a line of JSON on its standard output.
type event struct {
	Kind string // one of the constants below
	Term uint64
	At   int64 // when, by the machine's clock, in nanoseconds; of leading and trusted
	Text string
}

const (
	leading = "leading" // began a term
	trusted = "trusted" // held itself for the leader at that time
	wrote   = "wrote"   // some guarded writes of a term were applied
	ended   = "ended"   // the term's context has ended
	refused = "refused" // a write under the old term was refused
	applied = "applied" // or was not, which must never be
	failed  = "failed"
	exited  = "exited" // the process is gone; said by who waits for it
)

// workerMain is what a worker process does: it wants to lead until it is told
// to leave, by SIGTERM, or the tour has gone.
func workerMain(arg string) int {
	report := json.NewEncoder(os.Stdout)
	var tk task
	err := json.Unmarshal([]byte(arg), &tk)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // ends with the tour
			cancel()
		}()
		err = work(ctx, tk, func(e event) { _ = report.Encode(e) })
	}
	if err != nil {
		_ = report.Encode(event{Kind: failed, Text: err.Error()})
		return 1
	}
	return 0
}

func work(ctx context.Context, tk task, report func(event)) error {
	store, closeClient, err := openStore(tk.URL, &backend.Options{Namespace: tk.Namespace, TTL: tk.TTL})
	if err != nil {
		return err
	}
	defer closeClient()
	defer store.Close()
	e, err := election.New(store, "leader", &election.Options{ID: tk.ID})
	if err != nil {
		return err
	}
	err = e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
		return leadAndWrite(ctx, store, lead, report)
	})
	if ctx.Err() != nil {
		return nil // asked to leave, and has
	}
	return err
}

// leadAndWrite is the body: it writes under its term until the term is over,
// and then once more, as code would that does not heed its context.
func leadAndWrite(ctx context.Context, store *backend.Store, lead *election.Leadership, report func(event)) error {
	report(event{Kind: leading, Term: lead.Term(), At: time.Now().UnixNano()})
	ticker := time.NewTicker(30 * time.Millisecond)
	defer ticker.Stop()
	done := 0
	for n := 1; ctx.Err() == nil; n++ {
		// The clock first: between an answer and a look at the clock the
		// process may be paused.
		if now := time.Now(); lead.Valid() {
			report(event{Kind: trusted, Term: lead.Term(), At: now.UnixNano()})
		}
		if write(ctx, store, lead, n) == nil {
			if done++; done == 10 {
				report(event{Kind: wrote, Term: lead.Term()})
			}
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	cause := context.Cause(ctx)
	report(event{Kind: ended, Term: lead.Term(), Text: cause.Error()})
	if !errors.Is(cause, election.ErrLost) {
		return nil // it still holds the office, and gives it up now
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	switch err := write(late, store, lead, 0); {
	case errors.Is(err, backend.ErrFenced):
		report(event{Kind: refused, Term: lead.Term(), Text: err.Error()})
	case err == nil:
		report(event{Kind: applied, Term: lead.Term()})
	default:
		report(event{Kind: failed, Term: lead.Term(), Text: err.Error()})
	}
	return nil
}

// write writes an entry to the store on condition that the term stands.
func write(ctx context.Context, store *backend.Store, lead *election.Leadership, n int) error {
	key := fmt.Sprintf("work/%d.%d", lead.Term(), n)
	_, err := store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}}, lead.Guard())
	return err
}
