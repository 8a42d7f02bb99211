package modes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/integration/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	for name, s := range clusters {
		if s.cluster == nil {
			continue
		}
		if err := s.cluster.Close(); err != nil {
			fmt.Fprintln(os.Stderr, name, err)
			code = 1
		}
	}
	os.Exit(code)
}

// back is how soon all is at work again, from the store's first successful write
// on: two TTLs on Consul, whose sessions live so long.
func (c *crew) back() time.Duration {
	if c.store.Name == "consul" {
		return 2*ttl + 2*time.Second
	}
	return ttl + 2*time.Second
}

// extra is what the primitives wait for by themselves on top: a change of the
// members settles, and views hold those who vanished together.
func extra(primitive string) time.Duration {
	switch primitive {
	case "membership":
		return grace
	case "partition":
		return grace + time.Second
	case "checkpoint":
		return time.Second // the new leader claims, and saves
	}
	return 0
}

// patiently waits until check is content, and returns its complaint if it is not
// at the deadline.
func patiently(deadline time.Time, check func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}

// working says what is missing for a primitive to be at work for all workers,
// with something done that began since a moment.
func (c *crew) working(primitive string, since time.Time, among []*worker) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := func(what string, o *owned) error {
		now := o.now()
		if len(now) != 1 || !slices.Contains(among, now[0].by) {
			return fmt.Errorf("%s has %d owners", what, len(now))
		}
		return nil
	}
	switch primitive {
	case "election":
		return one("the office", &c.offices)
	case "counter":
		for _, w := range among {
			if !w.addedAt.After(since) {
				return fmt.Errorf("%s has not counted", w.id)
			}
		}
	case "membership":
		for _, w := range among {
			v := w.group.View()
			if all := len(among) + c.others; v.Stale || v.Held() > 0 || len(v.Members) != all {
				return fmt.Errorf("%s sees %d members, %d held, stale %t; %d are there", w.id, len(v.Members), v.Held(), v.Stale, all)
			}
		}
	case "partition":
		for k := range c.slots {
			if err := one(fmt.Sprintf("slot %d", k), &c.slots[k]); err != nil {
				return err
			}
		}
	case "checkpoint":
		if !c.savedAt.After(since) {
			return errors.New("nobody has saved")
		}
	}
	return nil
}

// atWork waits for all primitives, before a test begins.
func (c *crew) atWork(since time.Time, patience time.Duration) {
	c.t.Helper()
	for _, primitive := range primitives {
		if err := patiently(since.Add(patience), func() error { return c.working(primitive, since, c.workers) }); err != nil {
			c.t.Fatalf("%s: %v", primitive, err)
		}
	}
}

// writes waits until the store takes a write again, and returns when it did.
func (c *crew) writes() time.Time {
	c.t.Helper()
	store := c.admin()
	defer store.Close()
	for n := 0; ; n++ {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		result, err := store.Commit(ctx, backend.Txn{Ops: []backend.Op{driver.Create(fmt.Sprintf("probe/%d-%d", time.Now().UnixNano(), n), nil)}})
		cancel()
		if err == nil && result.Applied {
			return time.Now()
		}
		if n > 30 {
			c.t.Fatalf("the store takes no write: %v", err)
		}
	}
}

// admin opens a Store past the workers' networks.
func (c *crew) admin() *harness.Opened {
	c.t.Helper()
	store, err := c.store.Open(c.cluster.Addrs(), &backend.Options{Namespace: c.namespace, TTL: 30 * time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
	return store
}

// expired waits until the store has ended the sessions of all workers.
func (c *crew) expired() {
	c.t.Helper()
	store := c.admin()
	defer store.Close()
	err := patiently(time.Now().Add(c.store.Expiry(ttl)+5*time.Second), func() error {
		read, err := c.read(store, driver.Dir("membership/group/members"))
		if err == nil && len(read) > 0 {
			err = fmt.Errorf("%d members are there", len(read))
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// read reads past the workers' networks.
func (c *crew) read(store *harness.Opened, target backend.Target) ([]backend.Entry, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	read, err := store.Read(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	return read[0], nil
}

// recovers is a subtest for each primitive: it is at work again within its bound
// from a moment on, and meanwhile what more says held.
func (c *crew) recovers(from time.Time, more map[string]func(t *testing.T)) {
	took := make(map[string]time.Duration)
	problems := make(map[string]error)
	for _, primitive := range primitives { // at the same time, not one after the other
		within := c.back() + extra(primitive)
		problems[primitive] = patiently(from.Add(within), func() error { return c.working(primitive, from, c.workers) })
		took[primitive] = time.Since(from)
	}
	for _, primitive := range primitives {
		c.t.Run(primitive, func(t *testing.T) {
			if err := problems[primitive]; err != nil {
				t.Errorf("not at work %v after the store's first write: %v", c.back()+extra(primitive), err)
			}
			t.Logf("at work after %v at most, allowed %v", took[primitive].Round(10*time.Millisecond), c.back()+extra(primitive))
			if check := more[primitive]; check != nil {
				check(t)
			}
		})
	}
}

// overlap returns the longest that two owned the same at a time.
func (c *crew) overlap(owners ...*owned) (longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range owners {
		for i, b := range o.spans {
			for _, a := range o.spans[:i] {
				end := time.Now()
				for _, sp := range []*span{a, b} {
					if !sp.end.IsZero() && sp.end.Before(end) {
						end = sp.end
					}
				}
				longest = max(longest, end.Sub(b.start))
			}
		}
	}
	return longest
}

// neverTwo holds that nobody led, or ran a slot, beside another, for longer than
// allowed.
func (c *crew) neverTwo(primitive string, allowed time.Duration) func(t *testing.T) {
	return func(t *testing.T) {
		owners := []*owned{&c.offices}
		if primitive == "partition" {
			owners = nil
			for k := range c.slots {
				owners = append(owners, &c.slots[k])
			}
		}
		if overlap := c.overlap(owners...); overlap > allowed {
			t.Errorf("two at a time for %v, allowed is %v", overlap, allowed)
		}
	}
}

// termsGrow holds that each tenure has a higher term than the one before.
func (c *crew) termsGrow(t *testing.T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, sp := range c.offices.spans[1:] {
		if before := c.offices.spans[i]; sp.token <= before.token {
			t.Errorf("term %d of %s came after term %d of %s", sp.token, sp.by.id, before.token, before.by.id)
		}
	}
}

// exact holds that the counter counts what was acknowledged once, and what is in
// doubt at most once.
func (c *crew) exact(t *testing.T) {
	store := c.admin()
	defer store.Close()
	var low, high int64
	c.note(func() { low = c.added })
	value := c.value(t, store)
	c.note(func() { high = c.added + c.doubt + crews }) // each may have one under way
	if value < low || value > high {
		t.Errorf("the counter is %d, want %d to %d", value, low, high)
	}
}

// value reads the counter.
func (c *crew) value(t *testing.T, store *harness.Opened) int64 {
	t.Helper()
	count, err := counter.New(store.Store, "count", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	value, err := count.Value(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
