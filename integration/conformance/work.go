package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
)

// Work is a process that leads an election and adds to a counter, again and again,
// and a second one that waits for the office. Both must survive what an operator
// does to the store: a test changes a setting under them, and asks.
type Work struct {
	Leader, Waiting *backend.Store

	t     testing.TB
	stop  context.CancelFunc
	ended sync.WaitGroup
	count *counter.Counter

	added, unknown atomic.Int64 // Adds that were acknowledged, and those in doubt
	terms          atomic.Int64 // how often somebody began to lead
}

// Begin opens a Store on each of two drivers and returns once they are at work.
// When the test ends it compares the counter with the Adds.
func Begin(t testing.TB, namespace string, ttl time.Duration, leader, waiting driver.Driver) *Work {
	t.Helper()
	w := &Work{t: t}
	w.Leader, w.Waiting = openStore(t, leader, namespace, ttl), openStore(t, waiting, namespace, ttl)
	var err error
	w.count, err = counter.New(w.Leader, "work", nil)
	Must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	t.Cleanup(w.end)
	w.ended.Go(func() { w.add(ctx) })
	w.campaign(ctx, w.Leader)
	w.GoesOn()
	w.campaign(ctx, w.Waiting)
	return w
}

func openStore(t testing.TB, d driver.Driver, namespace string, ttl time.Duration) *backend.Store {
	t.Helper()
	store, err := backend.New(d, &backend.Options{Namespace: namespace, TTL: ttl})
	Must(t, err)
	t.Cleanup(func() {
		// A store that refuses for load may leave the session to expire.
		if err := store.Close(); err != nil && !errors.Is(err, driver.ErrOverloaded) {
			t.Error(err)
		}
	})
	return store
}

func (w *Work) campaign(ctx context.Context, store *backend.Store) {
	e, err := election.New(store, "work", nil)
	Must(w.t, err)
	w.ended.Go(func() {
		for ctx.Err() == nil {
			err := e.Run(ctx, func(ctx context.Context, _ *election.Leadership) error {
				w.terms.Add(1)
				<-ctx.Done()
				return nil
			})
			if ctx.Err() == nil {
				w.t.Logf("Run = %v", err)
				_ = driver.Sleep(ctx, 100*time.Millisecond)
			}
		}
	})
}

func (w *Work) add(ctx context.Context) {
	for ctx.Err() == nil {
		switch _, err := w.count.Add(ctx, 1); {
		case err == nil:
			w.added.Add(1)
		case errors.Is(err, backend.ErrIndeterminate) || ctx.Err() != nil:
			w.unknown.Add(1)
		default:
			w.t.Logf("Add = %v", err)
		}
		_ = driver.Sleep(ctx, 20*time.Millisecond)
	}
}

// GoesOn waits until somebody has led, and until an Add that began after the call
// was applied.
func (w *Work) GoesOn() {
	w.t.Helper()
	added := w.added.Load() + 2 // the first of them may have begun before
	Eventually(w.t, "the work to go on", func(context.Context) error {
		switch {
		case w.terms.Load() == 0:
			return errors.New("nobody leads")
		case w.added.Load() < added:
			return fmt.Errorf("%d Adds", w.added.Load())
		}
		return nil
	})
}

// Terms returns how many terms have begun.
func (w *Work) Terms() int64 { return w.terms.Load() }

// Undisturbed does something to the store and fails if a leadership was lost by it.
func (w *Work) Undisturbed(do func()) {
	w.t.Helper()
	before := w.Terms()
	do()
	w.GoesOn()
	if lost := w.Terms() - before; lost > 0 {
		w.t.Errorf("the leadership was lost %d times", lost)
	}
}

func (w *Work) end() {
	w.stop()
	w.ended.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	value, err := w.count.Value(ctx)
	least, most := w.added.Load(), w.added.Load()+w.unknown.Load()
	if err != nil || value < least || value > most {
		w.t.Errorf("the counter is %d, %v, after %d Adds and %d in doubt", value, err, least, most-least)
	}
}
