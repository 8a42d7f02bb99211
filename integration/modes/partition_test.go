package modes

import (
	"slices"
	"testing"
	"time"
)

// TestNetworkPartition: who leads is cut off, and nothing fails. It gives up
// what it owns before the store does; the others see it go, lead, run its slots
// and count on; and when it is back it is one of them.
func TestNetworkPartition(t *testing.T) {
	mode(t, func(t *testing.T, c *crew) {
		var cut *worker
		err := patiently(time.Now().Add(10*time.Second), func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if now := c.offices.now(); len(now) == 1 {
				cut = now[0].by
				return nil
			}
			return errOwned
		})
		if err != nil {
			t.Fatal(err)
		}
		others := slices.DeleteFunc(slices.Clone(c.workers), func(w *worker) bool { return w == cut })
		began := time.Now()
		cut.net.Silence()

		// The one gives up by itself, within its window.
		if err := patiently(began.Add(ttl+hears), func() error { return c.owns(cut) }); err != nil {
			t.Errorf("%s, cut off for a TTL: %v", cut.id, err)
		}
		if err := patiently(began.Add(2*ttl+hears), func() error {
			if !cut.group.View().Stale {
				return errOwned
			}
			return nil
		}); err != nil {
			t.Errorf("the view of %s is not stale two TTLs after it was cut off", cut.id)
		}
		// The others go on without it, once the store has let its session go.
		expiry := c.store.Expiry(ttl)
		for _, primitive := range primitives {
			within := expiry + extra(primitive) + 2*time.Second
			if err := patiently(began.Add(within), func() error { return c.working(primitive, began, others) }); err != nil {
				t.Errorf("%s, %v after one of three was cut off: %v", primitive, within, err)
			}
		}
		cut.net.HealReset()
		c.recovers(time.Now(), map[string]func(*testing.T){
			"election": func(t *testing.T) { c.neverTwo("election", 0)(t); c.termsGrow(t) },
			"counter":  c.exact,
			"membership": func(t *testing.T) {
				if err := cut.reg.Context().Err(); err != nil {
					t.Errorf("%s is no member any more: %v", cut.id, err)
				}
			},
			"partition": c.neverTwo("partition", 0),
		})
	})
}

// owns is content when a worker owns nothing.
func (c *crew) owns(w *worker) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := func(sp *span) bool { return sp.by == w }
	if slices.ContainsFunc(c.offices.now(), by) {
		return errOwned
	}
	for k := range c.slots {
		if slices.ContainsFunc(c.slots[k].now(), by) {
			return errOwned
		}
	}
	return nil
}
