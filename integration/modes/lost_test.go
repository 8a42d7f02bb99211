package modes

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestDataLost: the store is restored from a backup, and what was written since
// is lost. Everyone registers again, terms go on above the highest that was
// seen, and counter and checkpoint go on from no less than the backup has.
func TestDataLost(t *testing.T) {
	mode(t, func(t *testing.T, c *crew) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var added int64
		var saved, term uint64
		c.note(func() { added, saved = c.added, c.saved })
		backup, err := c.cluster.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		c.atWork(time.Now(), 10*time.Second) // something to lose
		c.note(func() { term = c.offices.spans[len(c.offices.spans)-1].token })
		c.undone(0)
		if err := backup.Restore(ctx, true); err != nil {
			t.Fatal(err)
		}
		c.undone(saved)
		c.recovers(c.writes(), map[string]func(*testing.T){
			"election": func(t *testing.T) {
				c.neverTwo("election", hears)(t)
				// Who remembers the highest term raises what is stored, and who leads
				// with a lower one steps down.
				err := patiently(time.Now().Add(c.back()), func() error {
					c.mu.Lock()
					defer c.mu.Unlock()
					if now := c.offices.now(); len(now) != 1 || now[0].token < term {
						return fmt.Errorf("%d lead, and %d was the highest term", len(now), term)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			},
			"counter": func(t *testing.T) { c.restoredTo(t, added) },
			"membership": func(t *testing.T) {
				for _, w := range c.workers {
					if err := w.reg.Context().Err(); err != nil {
						t.Errorf("%s is no member: %v", w.id, context.Cause(w.reg.Context()))
					}
				}
			},
			"partition": c.neverTwo("partition", hears),
			"checkpoint": func(t *testing.T) {
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.saved < saved {
					t.Errorf("%d was saved in the end, the backup has %d", c.saved, saved)
				}
			},
		})
	})
}

// restoredTo holds that the counter has no less than was acknowledged before the
// backup, and no more than all that was ever added.
func (c *crew) restoredTo(t *testing.T, added int64) {
	t.Helper()
	store := c.admin()
	defer store.Close()
	value := c.value(t, store)
	var most int64
	c.note(func() { most = c.added + c.doubt + crews })
	if value < added || value > most {
		t.Errorf("the counter is %d; %d were acknowledged before the backup, and %d ever", value, added, most)
	}
}

// undone says that what was saved beyond a number may be lost.
func (c *crew) undone(saved uint64) {
	c.note(func() {
		c.saved = saved
		c.epoch++
	})
}
