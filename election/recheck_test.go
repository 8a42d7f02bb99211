package election_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

// wins campaigns in the background; the channel yields the leadership.
func wins(t *testing.T, e *election.Election) <-chan *election.Leadership {
	won := make(chan *election.Leadership, 1)
	go func() {
		if lead, err := e.Campaign(t.Context()); err != nil {
			t.Error(err)
		} else {
			won <- lead
		}
	}()
	synctest.Wait()
	return won
}

// beforeTake calls a function, once, before a take is sent.
type beforeTake struct {
	driver.Driver
	do atomic.Pointer[func()]
}

func (d *beforeTake) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if len(txn.Ops) > 4 { // a take
		if do := d.do.Swap(nil); do != nil {
			(*do)()
		}
	}
	return d.Driver.Commit(ctx, txn)
}

// TestNoPlaceNoOffice: the next in the queue loses its place, while it waits
// or between its last look and its take. It does not lead then, but queues
// again, behind the one that was next.
func TestNoPlaceNoOffice(t *testing.T) {
	for _, when := range []string{"while it waits", "at its take"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { noPlaceNoOffice(t, when == "at its take") })
		})
	}
}

func noPlaceNoOffice(t *testing.T, atTake bool) {
	server := memory.NewServer()
	lead := campaign(t, candidate(t, open(t, server), nil))
	d := &beforeTake{Driver: memory.NewDriver(server)}
	first := wins(t, candidate(t, over(t, d), nil))
	var entry string
	for _, e := range server.Entries() {
		if strings.Contains(e.Key, "/queue/") {
			entry = e.Key
		}
	}
	second := wins(t, candidate(t, open(t, server), nil))
	lose := func() { server.Delete(entry) }
	if atTake {
		d.do.Store(&lose)
	} else {
		lose()
		synctest.Wait()
	}
	resign(t, lead)
	synctest.Wait()
	if d.do.Load() != nil {
		t.Error("no take was sent")
	}
	for _, won := range []<-chan *election.Leadership{second, first} {
		select {
		case lead = <-won:
		default:
			t.Fatal("the wrong one leads, or nobody")
		}
		resign(t, lead)
		synctest.Wait()
	}
}

// TestAnOlderEntryThatComesBackIsSwept: between a candidate's look and its
// watch a restore takes away its entry, and brings back the entry and the office
// that its process has given up since. What it waits for stands as it did.
// Nobody else can clear that up.
func TestAnOlderEntryThatComesBackIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		d := &afterRead{Driver: memory.NewDriver(server)}
		store := over(t, d)
		first := candidate(t, store, nil)
		lead := campaign(t, first)
		second, third := wins(t, candidate(t, open(t, server), nil)), wins(t, candidate(t, open(t, server), nil))
		backup := server.Snapshot()
		resign(t, lead)
		lead = <-second
		restore := func() { server.Restore(backup) }
		d.do.Store(&restore)
		again := wins(t, first) // to wait for the third
		<-lead.Context().Done()
		resign(t, lead)
		time.Sleep(ttl)
		for _, won := range []<-chan *election.Leadership{third, again} {
			synctest.Wait()
			select {
			case lead = <-won:
				resign(t, lead)
			default:
				t.Fatal("nobody leads, or the wrong one")
			}
		}
	})
}

// paused is the driver of a process that is stopped, with its clocks running
// on, while the reply to a take is on its way.
type paused struct {
	*memory.Driver
	takes atomic.Int64
}

func (d *paused) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	result, err := d.Driver.Commit(ctx, txn)
	if len(txn.Ops) > 2 && d.takes.Add(1) == 1 {
		d.Silence() // nor does it renew its session
		time.Sleep(ttl + time.Second)
		d.Heal()
	}
	return result, err
}

// TestATakeThatOutlivesItsSession: by the time that a candidate hears that it
// has taken the office, its session is over, and the office with it.
func TestATakeThatOutlivesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		d := &paused{Driver: memory.NewDriver(server)}
		var began atomic.Int64
		store, err := backend.New(d, &backend.Options{TTL: ttl, Trace: &backend.Trace{
			OwnershipBegan: func(backend.Ownership) { began.Add(1) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		lead := campaign(t, candidate(t, store, nil))
		synctest.Wait()
		if !lead.Valid() || lead.Context().Err() != nil {
			t.Errorf("term %d was over when it began: %v", lead.Term(), context.Cause(lead.Context()))
		}
		if n := began.Load(); n != 1 || d.takes.Load() != 2 {
			t.Errorf("it led %d times after %d takes, want once after 2", n, d.takes.Load())
		}
		resign(t, lead)
	})
}
