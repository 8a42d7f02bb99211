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
)

// afterRead calls a function, once, between a round of reads and what follows
// from it.
type afterRead struct {
	driver.Driver
	do atomic.Pointer[func()]
}

func (d *afterRead) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	read, err := d.Driver.Read(ctx, targets...)
	if targets[0].Dir && len(targets) == 2 { // a round of reads, not a look at single keys
		if do := d.do.Swap(nil); do != nil {
			(*do)()
		}
	}
	return read, err
}

// TestNumberOutlivesTwoMarks: the mark of a tenure is deleted by hand, and the
// spare, or the mark that replaces it, just when the holder has looked at it to
// step down. Nobody but the holder knows the number then, and whoever is next has to
// take a higher one all the same.
func TestNumberOutlivesTwoMarks(t *testing.T) {
	for _, round := range []string{"first", "second"} {
		t.Run(round, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { numberOutlives(t, round == "second") })
		})
	}
}

func numberOutlives(t *testing.T, second bool) {
	server := memory.NewServer()
	d := &afterRead{Driver: memory.NewDriver(server)}
	resign(t, campaign(t, candidate(t, open(t, server), nil)))
	lead := campaign(t, candidate(t, over(t, d), nil)) // term 3
	drop := func(spare bool) {
		for _, entry := range server.Entries() {
			if strings.Contains(entry.Key, "/tenure/3~") && strings.HasSuffix(entry.Key, ".spare") == spare {
				server.Delete(entry.Key)
			}
		}
	}
	dropSpare := func() { drop(true) }
	if second {
		// The mark that the holder made for the first goes as well.
		dropSpare = func() {
			drop(true)
			again := func() { drop(false) }
			d.do.Store(&again)
		}
	}
	d.do.Store(&dropSpare)
	drop(false)
	<-lead.Context().Done()
	if err := lead.Resign(t.Context()); err != nil {
		t.Errorf("Resign: %v", err)
	}
	if d.do.Load() != nil {
		t.Error("no look came between")
	}
	after := campaign(t, candidate(t, open(t, server), nil)) // it has seen no term
	if after.Term() <= lead.Term() {
		t.Errorf("term %d after term %d", after.Term(), lead.Term())
	}
	resign(t, after)
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
