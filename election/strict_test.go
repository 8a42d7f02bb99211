package election_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

// deaf is a driver that, once deaf, is told nothing of the keys any more, while
// leases are renewed as ever.
type deaf struct {
	driver.Driver
	deaf atomic.Bool
}

func (d *deaf) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	if d.deaf.Load() {
		return nil, driver.ErrUnavailable
	}
	return d.Driver.Read(ctx, targets...)
}

func (d *deaf) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	return d.Driver.Watch(ctx, target, func(entries []driver.Entry) {
		if !d.deaf.Load() {
			changed(entries)
		}
	})
}

// TestStrictHolderThatOnlyRenews: the keys of a holder are deleted by hand, and
// it does not hear of that, though its session goes on. With Strict it has
// ended by the time that the next one leads.
func TestStrictHolderThatOnlyRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		d := &deaf{Driver: memory.NewDriver(server)}
		store := over(t, d)
		strict := &election.Options{Strict: true}
		old := campaign(t, candidate(t, store, strict))
		d.deaf.Store(true)
		for _, e := range server.Entries() {
			if strings.Contains(e.Key, "/tenure/leader") || strings.Contains(e.Key, "/queue/") {
				server.Delete(e.Key)
			}
		}
		lead := campaign(t, candidate(t, open(t, server), strict))
		if session, err := store.Session(t.Context()); err != nil || !session.Valid() {
			t.Errorf("the session of the one that only renews: %v", err)
		}
		if old.Valid() || old.Context().Err() == nil {
			t.Errorf("term %d leads, and term %d does not know that it is over", lead.Term(), old.Term())
		}
		resign(t, lead)
	})
}
