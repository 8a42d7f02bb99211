package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/restart"
)

// quiet discards the log: the tour tells itself what happens.
var quiet = slog.New(slog.DiscardHandler)

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
	Term uint64 // or the token of a slot
	At   int64  // when, by the machine's clock, in nanoseconds; of leading and trusted
	N    int64  // the item, or the add
	Peer string // of saw: whom
	Text string
}

const (
	leading = "leading" // began a term
	resumed = "resumed" // claimed the checkpoint, which says that the items up to N are done
	saved   = "saved"   // item N is done, and the store has said so
	trusted = "trusted" // held itself for the leader at that time
	ended   = "ended"   // the term's context has ended
	refused = "refused" // an item under the old term was refused
	applied = "applied" // or was not, which must never be
	adding  = "adding"  // is about to add N to the shared counter
	added   = "added"   // and the store has said that it is counted
	saw     = "saw"     // Peer is now as Text says: one of the states in peers.go
	works   = "works"   // began with slot N, with the token Term
	rests   = "rests"   // has ended its work on slot N
	failed  = "failed"
	exited  = "exited" // the process is gone; said by who waits for it
)

// job is a worker process, seen from inside.
type job struct {
	task
	store  *backend.Store
	report func(event)
}

// workerMain is what a worker process does until it is told to stop, by
// SIGTERM, or the tour has gone.
func workerMain(arg string) int {
	report := reporter(os.Stdout)
	var tk task
	if err := json.Unmarshal([]byte(arg), &tk); err != nil {
		report(event{Kind: failed, Text: err.Error()})
		return restart.ExitFailed
	}
	target, err := open.Parse(tk.URL)
	if err != nil {
		report(event{Kind: failed, Text: err.Error()})
		return restart.ExitFailed
	}
	store, err := target.Open(&backend.Options{Namespace: tk.Namespace, TTL: tk.TTL, Logger: quiet})
	if err != nil {
		report(event{Kind: failed, Text: err.Error()})
		return restart.ExitFailed
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the tour
		cancel()
	}()
	j := &job{task: tk, store: store, report: report}
	return restart.Run(ctx, j.run, &restart.Options{
		Close:  []io.Closer{store},
		Logger: quiet,
	})
}

// run is the work of a worker: it is a peer of the others, counts with them,
// and leads when it is its turn.
func (j *job) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"peers", j.peers}, {"count", j.count}, {"lead", j.lead}} {
		group.Go(func() error {
			err := part.run(ctx)
			if err != nil && !errors.Is(err, context.Cause(ctx)) {
				j.report(event{Kind: failed, Text: fmt.Sprintf("%s: %v", part.name, err)})
			}
			return err
		})
	}
	return group.Wait()
}

// finishing returns a context for what was begun under ctx and is better
// finished than cut short: it ends three seconds after ctx does.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(3 * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-late.Done():
		}
	})
	return late, func() { stop(); cancel() }
}

// reporter returns a function that writes events, whichever goroutine calls it.
func reporter(out io.Writer) func(event) {
	var mu sync.Mutex
	encoder := json.NewEncoder(out)
	return func(e event) {
		mu.Lock()
		defer mu.Unlock()
		_ = encoder.Encode(e)
	}
}

// pause waits a little, or until ctx ends.
func pause(ctx context.Context) {
	timer := time.NewTimer(30 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
