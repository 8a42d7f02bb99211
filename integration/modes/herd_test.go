package modes

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/membership"
)

// herd is how many more wait for the office, and are members, in the herd.
const herd = 15

// TestThunderingHerd: all clients lose all sessions at once, and come back in
// the same instant. Each takes one session, and registers once, or twice where
// the first was too early; all are at work within their bounds, the waiting
// included.
func TestThunderingHerd(t *testing.T) {
	mode(t, func(t *testing.T, c *crew) {
		h := newHerd(t, c)
		c.note(func() { c.others = herd })
		all := crews + herd
		if err := patiently(time.Now().Add(30*time.Second), func() error { return h.sees(all) }); err != nil {
			t.Fatal(err)
		}
		var before, tries int
		c.note(func() { before, tries = h.sessions, h.retries })
		for _, w := range c.workers {
			w.net.Silence()
		}
		h.net.Silence()
		if err := patiently(time.Now().Add(ttl+hears), c.idle); err != nil {
			t.Errorf("cut off for a TTL: %v", err)
		}
		c.expired() // the store has ended the sessions of all
		for _, w := range c.workers {
			w.net.HealReset()
		}
		h.net.HealReset()
		from := c.writes()
		c.recovers(from, map[string]func(*testing.T){
			"election": func(t *testing.T) {
				c.neverTwo("election", 0)(t)
				c.termsGrow(t)
				if err := patiently(from.Add(c.back()), func() error { return h.queued(herd) }); err != nil {
					t.Errorf("the candidates are not back: %v", err)
				}
			},
			"counter": c.exact,
			"membership": func(t *testing.T) {
				if err := patiently(from.Add(c.back()+grace), func() error { return h.sees(all) }); err != nil {
					t.Error(err)
				}
				c.note(func() {
					sessions, retries := h.sessions-before, h.retries-tries
					t.Logf("%d Stores took %d sessions and tried %d calls again", herd, sessions, retries)
					if sessions > 2*herd {
						t.Errorf("%d Stores took %d sessions", herd, sessions)
					}
				})
			},
			"partition": c.neverTwo("partition", 0),
		})
	})
}

// herders are Stores that campaign, and are members.
type herders struct {
	c      *crew
	net    *cluster.Proxies
	stores []*harness.Opened
	groups []*membership.Group

	sessions, retries int // with the crew's mutex held
}

func newHerd(t *testing.T, c *crew) *herders {
	h := &herders{c: c}
	var err error
	if h.net, err = cluster.NewProxies(c.cluster); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() {
		stop()
		all.Wait()
		var closing sync.WaitGroup
		for _, store := range h.stores {
			closing.Go(func() { _ = store.Close() })
		}
		closing.Wait()
		h.net.Close()
	})
	for i := range herd {
		id := fmt.Sprintf("h%02d", i)
		addrs := h.net.Addrs()
		at := i % len(addrs)
		store, err := c.store.Open(append(addrs[at:len(addrs):len(addrs)], addrs[:at]...), &backend.Options{Namespace: c.namespace, TTL: ttl, Trace: &backend.Trace{
			SessionGranted: func(backend.SessionGranted) { c.note(func() { h.sessions++ }) },
			Retrying:       func(backend.Retrying) { c.note(func() { h.retries++ }) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		h.stores = append(h.stores, store)
		group, err := membership.New(store.Store, "group", &membership.Options{GracePeriod: grace})
		if err != nil {
			t.Fatal(err)
		}
		h.groups = append(h.groups, group)
		office, err := election.New(store.Store, "herd", &election.Options{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			reg, err := group.Join(ctx, membership.Member{ID: id})
			if err != nil && ctx.Err() == nil {
				t.Errorf("Join of %s: %v", id, err)
			}
			<-ctx.Done()
			if err == nil {
				leaving, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				_ = reg.Leave(leaving)
			}
		})
		all.Go(func() {
			_ = office.Run(ctx, func(ctx context.Context, _ *election.Leadership) error {
				<-ctx.Done()
				return nil
			})
		})
	}
	return h
}

// sees is content when every view shows all.
func (h *herders) sees(all int) error {
	for i, group := range h.groups {
		if v := group.View(); v.Stale || v.Held() > 0 || len(v.Members) != all {
			return fmt.Errorf("%d of the herd sees %d members, %d held, stale %t; want %d", i, len(v.Members), v.Held(), v.Stale, all)
		}
	}
	return nil
}

// queued is content when n campaign for the herd's office, each once: one leads,
// and the others wait in the queue.
func (h *herders) queued(n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	read, err := h.stores[0].Read(ctx, driver.Dir("election/herd/queue"), driver.Key("election/herd/tenure/leader"))
	if err != nil {
		return fmt.Errorf("reading the queue: %w", err)
	}
	if len(read[0]) != n-1 || len(read[1]) != 1 {
		return fmt.Errorf("%d in the queue and %d leaders, want %d and one", len(read[0]), len(read[1]), n-1)
	}
	return nil
}
