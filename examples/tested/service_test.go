package tested

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/restart"
)

const ttl = 10 * time.Second

// world is the store that all processes share, and the ledger.
type world struct {
	t      *testing.T
	server *memory.Server

	mu      sync.Mutex
	entries []entry // of the ledger
}

type entry struct {
	process string
	term    uint64
	invoice int
	at      time.Time
}

// process is one with the service in it.
type process struct {
	*faults.Driver // its way to the store, which fails as told
	name           string
	store          *backend.Store
	world          *world
}

// start starts a process. Each has a Store of its own, over a driver that can
// be made to fail, over a client of the one server.
func (w *world) start(name string) *process {
	w.t.Helper()
	p := &process{Driver: faults.Wrap(memory.NewDriver(w.server)), name: name, world: w}
	var err error
	if p.store, err = backend.New(p.Driver, &backend.Options{TTL: ttl}); err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := &Biller{Store: p.store, Ledger: p, Policy: &restart.Policy{Logger: slog.New(slog.DiscardHandler)}}
		if err := b.Run(ctx); ctx.Err() == nil {
			w.t.Errorf("%s ended by itself: %v", name, err)
		}
	}()
	w.t.Cleanup(func() {
		stop()
		<-ended
		p.Partition(false)
		if err := p.store.Close(); err != nil {
			w.t.Error(err)
		}
	})
	synctest.Wait() // until it leads, or waits for its turn
	return p
}

var errStale = errors.New("a later term has been here")

// Enter makes the process its own ledger, which notes who wrote.
func (p *process) Enter(_ context.Context, term uint64, invoice int) error {
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.entries); n > 0 && term < w.entries[n-1].term {
		w.t.Errorf("%s still writes under term %d", p.name, term)
		return errStale
	}
	w.entries = append(w.entries, entry{p.name, term, invoice, time.Now()})
	return nil
}

// pass lets time pass, and returns what was entered meanwhile.
func (w *world) pass(d time.Duration) []entry {
	before := len(w.all())
	time.Sleep(d) // in a bubble: no time at all
	synctest.Wait()
	return w.all()[before:]
}

// all returns all entries.
func (w *world) all() []entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.entries)
}

// by returns how many of the entries are of a process, and when the last was.
func by(entries []entry, name string) (n int, last time.Time) {
	for _, e := range entries {
		if e.process == name {
			n, last = n+1, e.at
		}
	}
	return n, last
}

// judge holds that every invoice is in the ledger, in order, and that as many
// as repeats at most were entered again: each right after itself.
func (w *world) judge(repeats int) {
	w.t.Helper()
	next := 0
	for _, e := range w.all() {
		switch {
		case e.invoice == next:
			next++
		case e.invoice == next-1 && repeats > 0:
			repeats--
		default:
			w.t.Errorf("%s entered invoice %d where %d was due, with %d repeats left", e.process, e.invoice, next, repeats)
			next = e.invoice + 1
		}
	}
}

func bubble(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, &world{t: t, server: memory.NewServer()}) })
}

// TestStopsWhenItsSessionIsLost: the store gives the session up. The service
// stops, the other process goes on, and nothing is left out.
func TestStopsWhenItsSessionIsLost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		first := w.start("first")
		w.start("second")
		if n, _ := by(w.pass(time.Minute), "first"); n != 60 {
			t.Errorf("undisturbed, the first entered %d invoices a minute, want 60", n)
		}
		session, err := first.store.Session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.server.Expire(session.ID())
		entries := w.pass(time.Minute)
		if n, _ := by(entries, "first"); n != 0 {
			t.Errorf("after the loss of its session the first entered %d invoices", n)
		}
		if n, _ := by(entries, "second"); n < 55 {
			t.Errorf("the second entered %d invoices in the minute after", n)
		}
		w.judge(1)
	})
}

// TestStopsWhenItIsCutOff: the process cannot reach the store, and is not told
// that its session is over. It has to stop by its own clock, in time.
func TestStopsWhenItIsCutOff(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		first := w.start("first")
		w.start("second")
		w.pass(time.Minute)
		cut := time.Now()
		first.Partition(true)
		entries := w.pass(time.Minute)
		if _, last := by(entries, "first"); last.After(cut.Add(ttl)) {
			t.Errorf("the first went on for %v, longer than its TTL", last.Sub(cut))
		}
		if n, _ := by(entries, "second"); n < 45 {
			t.Errorf("the second entered %d invoices in the minute after", n)
		}
		first.Partition(false)
		w.pass(time.Minute)
		w.judge(1) // the one whose Save did not get through
	})
}

// TestALostReplyRepeatsNothing: the progress is saved, and the service is not
// told. It must neither stop nor enter the invoice again.
func TestALostReplyRepeatsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		first := w.start("first")
		w.pass(5 * time.Second)
		for range 10 {
			lost := first.NextCommit(func(txn driver.Txn) bool {
				return strings.Contains(txn.Ops[0].Key, "/checkpoint/")
			}, faults.Fault{LoseReply: true})
			w.pass(5 * time.Second)
			select {
			case <-lost.Hit():
			default:
				t.Error("no commit was hit: does this test still see the saves?")
			}
		}
		if n := len(w.all()); n < 45 {
			t.Errorf("%d invoices in 55 s", n)
		}
		w.judge(0)
	})
}

// TestTwentyMinutesOfTrouble: calls fail at random, sessions are lost, the store is
// away now and then. No invoice is left out.
func TestTwentyMinutesOfTrouble(t *testing.T) {
	for seed := range uint64(2) {
		bubble(t, func(t *testing.T, w *world) {
			first, second := w.start("first"), w.start("second")
			rates := faults.Rates{Refuse: 0.05, LoseReply: 0.05, LandLater: 0.02, Slow: 0.1, MaxDelay: time.Second, MaxLate: 5 * time.Second}
			first.Chaos(seed, rates)
			second.Chaos(seed+100, rates)
			for minute := range 20 {
				switch minute % 10 {
				case 3:
					w.server.SetDown(true)
				case 4:
					w.server.SetDown(false)
				case 6:
					first.Partition(true)
				case 7:
					first.Partition(false)
				}
				w.pass(time.Minute)
			}
			first.Chaos(0, faults.Rates{})
			second.Chaos(0, faults.Rates{})
			if n := len(w.pass(time.Minute)); n < 30 {
				t.Errorf("seed %d: in the quiet minute after, %d invoices", seed, n)
			}
			terms := 0
			entries := w.all()
			for i, e := range entries {
				if i == 0 || e.term != entries[i-1].term {
					terms++
				}
			}
			w.judge(terms) // one for each that was cut short
		})
	}
}
