package election_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

// afterRead calls a function, once, between a round of reads and what follows
// from it.
type afterRead struct {
	driver.Driver
	do atomic.Pointer[func()]
}

func (d *afterRead) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	read, err := d.Driver.Read(ctx, targets...)
	if len(targets) > 3 { // a round, not a look at single keys
		if do := d.do.Swap(nil); do != nil {
			(*do)()
		}
	}
	return read, err
}

// TestNumberOutlivesMarkAndTerm: the mark of a tenure is deleted by hand, and
// the term, or the new mark, just when the holder has looked at it to step
// down. Nobody but the holder knows the number then, and whoever is next has to
// take a higher one all the same.
func TestNumberOutlivesMarkAndTerm(t *testing.T) {
	for _, round := range []string{"first", "second"} {
		t.Run(round, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { numberOutlives(t, round == "second") })
		})
	}
}

func numberOutlives(t *testing.T, second bool) {
	server := memory.NewServer()
	d := &afterRead{Driver: memory.NewDriver(server)}
	store := over(t, d)
	first := campaign(t, candidate(t, open(t, server), nil))
	e := candidate(t, store, nil)
	won := make(chan *election.Leadership, 1)
	go func() {
		lead, err := e.Campaign(t.Context())
		if err != nil {
			t.Error(err)
		}
		won <- lead
	}()
	synctest.Wait()
	// The one behind has seen no term but the first.
	next := candidate(t, open(t, server), nil)
	nextWon := make(chan *election.Leadership, 1)
	go func() {
		lead, err := next.Campaign(t.Context())
		if err != nil {
			t.Error(err)
		}
		nextWon <- lead
	}()
	synctest.Wait()
	if err := first.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	lead := <-won
	drop := func(what string) {
		for _, entry := range server.Entries() {
			if strings.HasPrefix(entry.Key, "quorate/election/test/"+what) {
				server.Delete(entry.Key)
			}
		}
	}
	dropTerm := func() { drop("term") }
	if second {
		// The term goes in between too, but the holder has made it again.
		dropTerm = func() {
			drop("term")
			again := func() { drop("term") }
			d.do.Store(&again)
		}
	}
	d.do.Store(&dropTerm)
	drop("tenure/")
	<-lead.Context().Done()
	if err := lead.Resign(t.Context()); err != nil {
		t.Errorf("Resign: %v", err)
	}
	if d.do.Load() != nil {
		t.Error("no look came between")
	}
	if after := <-nextWon; after.Term() <= lead.Term() {
		t.Errorf("term %d after term %d", after.Term(), lead.Term())
	}
}

// TestWhoRemembersRaises: everything is lost while the one that led is away,
// and a newcomer takes the lowest term. It does not keep it once the one that
// remembers is back.
func TestWhoRemembersRaises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		d := memory.NewDriver(server)
		store := over(t, d)
		e := candidate(t, store, nil)
		resign(t, campaign(t, e))
		old := campaign(t, e)
		d.Cut()
		server.Wipe()
		young := campaign(t, candidate(t, open(t, server), nil))
		if young.Term() >= old.Term() {
			t.Fatalf("a newcomer knows of term %d", old.Term())
		}
		<-old.Context().Done()
		d.Heal()
		won := wins(t, e)
		time.Sleep(2 * ttl)
		synctest.Wait()
		if young.Context().Err() == nil {
			t.Fatalf("term %d stands beside the memory of term %d", young.Term(), old.Term())
		}
		resign(t, young)
		if lead := <-won; lead.Term() <= old.Term() {
			t.Errorf("term %d after term %d", lead.Term(), old.Term())
		}
	})
}
