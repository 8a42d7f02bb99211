package election_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

func named(t *testing.T, store *backend.Store, name string) *election.Election {
	t.Helper()
	e, err := election.New(store, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestNothingRunsAfterACampaign: a process that runs elections under changing
// names does not grow by a goroutine or a watch for each.
func TestNothingRunsAfterACampaign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		store, rival := open(t, server), open(t, server)
		round := func(i int) {
			name := fmt.Sprint("e", i)
			lead := campaign(t, named(t, store, name))
			ctx, cancel := context.WithCancel(t.Context())
			gaveUp := make(chan error, 1)
			go func() {
				_, err := named(t, rival, name).Campaign(ctx)
				gaveUp <- err
			}()
			synctest.Wait()
			cancel()
			if err := <-gaveUp; !errors.Is(err, context.Canceled) {
				t.Errorf("Campaign = %v", err)
			}
			resign(t, lead)
			synctest.Wait()
		}
		round(0)
		before := runtime.NumGoroutine()
		for i := range 100 {
			round(i + 1)
		}
		if after := runtime.NumGoroutine(); after > before+10 { // the count is of the whole test process
			t.Errorf("%d goroutines after a hundred elections, %d after one", after, before)
		}
		if n := ephemerals(server); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

// TestAWaitingCandidateNeedsTwoGoroutines counts its caller's.
func TestAWaitingCandidateNeedsTwoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		leader, store := open(t, server), open(t, server)
		var leads []*election.Leadership
		for i := range 101 {
			leads = append(leads, campaign(t, named(t, leader, fmt.Sprint("e", i))))
		}
		ctx, cancel := context.WithCancel(t.Context())
		wait := func(i int) {
			e := named(t, store, fmt.Sprint("e", i))
			go func() { _, _ = e.Campaign(ctx) }()
			synctest.Wait()
		}
		wait(0)
		before := runtime.NumGoroutine()
		for i := range 100 {
			wait(i + 1)
		}
		if each := float64(runtime.NumGoroutine()-before) / 100; each > 2 {
			t.Errorf("%.2f goroutines for each waiting candidate, want 2 at most", each)
		}
		cancel()
		synctest.Wait()
		for _, lead := range leads {
			resign(t, lead)
		}
	})
}

// TestResignEndsWithTheSession: in an outage Resign has nothing left to give up
// once the session has ended, and says what it did not clean up.
func TestResignEndsWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		lead := campaign(t, candidate(t, open(t, server), nil))
		server.SetDown(true)
		start := time.Now()
		err := lead.Resign(context.Background())
		if took := time.Since(start); took > ttl {
			t.Errorf("Resign took %v, the TTL is %v", took, ttl)
		}
		if err == nil || !strings.Contains(err.Error(), "goes with the session") {
			t.Errorf("Resign = %v, want what was not cleaned up", err)
		}
		server.SetDown(false)
	})
}

// TestTheEndIsTracedWhenItComes: a leadership that is lost is over, whether its
// holder resigns or not.
func TestTheEndIsTracedWhenItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		var ended atomic.Int64
		store, err := memory.Open(server, &backend.Options{TTL: ttl, Trace: &backend.Trace{
			OwnershipEnded: func(backend.Ownership) { ended.Add(1) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		lead := campaign(t, candidate(t, store, nil))
		server.Delete(key(t, "tenure/leader"))
		synctest.Wait()
		if n := ended.Load(); n != 1 {
			t.Errorf("%d ends were traced before the resignation, want 1", n)
		}
		resign(t, lead)
		if n := ended.Load(); n != 1 {
			t.Errorf("%d ends were traced, want 1", n)
		}
	})
}

// TestRecoveredIsSaidWhenItIs: a candidate that had to try again says that it
// has recovered when it has, not when it wins the election; and the pauses of
// its next failure begin anew.
func TestRecoveredIsSaidWhenItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		lead := campaign(t, candidate(t, open(t, server), nil))
		var log lockedBuffer
		var attempts atomic.Int64 // of the last failure
		store, err := memory.Open(server, &backend.Options{
			TTL: ttl, Logger: slog.New(slog.NewTextHandler(&log, nil)), CallTimeout: 100 * time.Millisecond,
			Trace: &backend.Trace{Retrying: func(r backend.Retrying) {
				if r.Kind == backend.KindElection {
					attempts.Store(int64(r.Attempt))
				}
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		if _, err := store.Session(t.Context()); err != nil {
			t.Fatal(err)
		}
		server.SetDown(true)
		won := wins(t, candidate(t, store, nil))
		time.Sleep(ttl / 4)
		server.SetDown(false)
		time.Sleep(ttl / 4)
		synctest.Wait()
		if said := log.take(); !strings.Contains(said, "recovered") {
			t.Errorf("the candidate waits in the queue, and has not said that it recovered:\n%s", said)
		}
		if attempts.Load() < 3 {
			t.Errorf("%d attempts, want some", attempts.Load())
		}
		server.Delete(key(t, "tenure/leader"))
		resign(t, lead)
		resign(t, <-won)
	})
}

// TestABodyThatIgnoresItsContextIsReported: at WARN, and traced.
func TestABodyThatIgnoresItsContextIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		var log lockedBuffer
		var overran []backend.BodyOverran
		store, err := memory.Open(server, &backend.Options{
			TTL: ttl, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Trace: &backend.Trace{BodyOverran: func(o backend.BodyOverran) { overran = append(overran, o) }},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		ctx, cancel := context.WithCancel(t.Context())
		err = candidate(t, store, nil).Run(ctx, func(context.Context, *election.Leadership) error {
			cancel()
			time.Sleep(ttl + ttl/2)
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
		if len(overran) != 2 || overran[0].Kind != backend.KindElection || overran[0].Token != 2 || overran[1].For < ttl {
			t.Errorf("traced %+v, want two reports", overran)
		}
		if said := log.take(); strings.Count(said, "level=WARN msg=\"the body has not returned") != 2 {
			t.Errorf("the log has no two warnings:\n%s", said)
		}
	})
}

// TestRunJoinsTheBodysErrorWithTheCause: neither is dropped.
func TestRunJoinsTheBodysErrorWithTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := candidate(t, open(t, memory.NewServer()), nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		err := e.Run(ctx, func(context.Context, *election.Leadership) error {
			cancel(stop)
			return errBody
		})
		if !errors.Is(err, stop) || !errors.Is(err, errBody) {
			t.Errorf("Run = %v, want the cause and the body's error", err)
		}
	})
}

func TestLeading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		e := candidate(t, open(t, server), nil)
		none := func(when string) {
			t.Helper()
			if lead, ok := e.Leading(); ok || lead != nil {
				t.Errorf("%s: Leading = %v, %v", when, lead, ok)
			}
		}
		none("before the first campaign")
		lead := campaign(t, e)
		if now, ok := e.Leading(); !ok || now != lead {
			t.Errorf("Leading = %v, %v, want the leadership", now, ok)
		}
		server.Delete(key(t, "tenure/leader"))
		<-lead.Context().Done()
		none("after a loss")
		resign(t, lead)
		none("after the resignation")
	})
}
