package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/membership"
)

// storms resets all connections of many processes at once, each a member of one
// group that it watches, and counts what the servers get.
func storms(ctx context.Context, l *lab) ([]line, error) {
	n := l.scale.clients
	of := func(what string) line { return line{what: fmt.Sprintf("%d processes: %s", n, what)} }
	requests := of("most requests within a second")
	requests.goal(toPeer, l.Name, perStore{"etcd": 1.5, "consul": 1.5, "zookeeper": 2})
	connections := of("connections opened")
	all := of(fmt.Sprintf("requests in all, in %v at least", l.scale.calm))
	all.goal(ours, l.Name, perStore{"etcd": 1800, "consul": 1500, "zookeeper": 3000})
	back := line{what: fmt.Sprintf("%d processes: until all see a change of that moment", n), unit: milliseconds}
	back.goals = []goal{{of: ours, limit: 2000}}
	for range l.scale.storms {
		for side := range 2 {
			f, err := storm(ctx, l, side, n)
			l.clear()
			if err != nil {
				return nil, err
			}
			lines := []*line{&requests, &connections, &all}
			if side == 0 {
				lines = append(lines, &back)
			}
			for i, line := range lines {
				into := &line.ours
				if side == 1 {
					into = &line.peer
				}
				*into = append(*into, f[i])
			}
		}
	}
	return []line{requests, connections, all, back}, nil
}

// throng is a group of processes, by their views.
type throng struct {
	mu     sync.Mutex
	groups []*membership.Group
	meta   string // the last member's, as all should see it
}

// join opens a Store with a member of the group.
func (t *throng) join(ctx context.Context, l *lab, addrs []string, group, id string) (*membership.Registration, error) {
	store, err := l.open(addrs, longTTL)
	if err != nil {
		return nil, err
	}
	g, err := membership.New(store.Store, group, nil)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.groups = append(t.groups, g)
	t.mu.Unlock()
	return g.Join(ctx, membership.Member{ID: id})
}

// seen reports how many do not see all.
func (t *throng) seen() error {
	var wrong []membership.View
	for _, g := range t.groups {
		v := g.View()
		if v.Stale || len(v.Members) != len(t.groups) || v.Members[len(v.Members)-1].Meta["storm"] != t.meta {
			wrong = append(wrong, v)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d processes do not see all as it is; one sees %d, stale %t, aged %v",
		len(wrong), len(t.groups), len(wrong[0].Members), wrong[0].Stale, wrong[0].Age)
}

// await waits for calm to pass, and then until all see all, which with hundreds
// in one process may take a while. It returns when it last was not so.
func (t *throng) await(ctx context.Context, calm time.Duration) (last time.Time, _ error) {
	last = time.Now()
	for began := last; ; {
		now, err := time.Now(), t.seen()
		switch {
		case err == nil && now.Sub(began) >= calm:
			return last, nil
		case err != nil && now.Sub(began) >= calm+time.Minute:
			return last, err
		case err != nil:
			last = now
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return last, err
		}
	}
}

// storm resets the connections of n processes. On our side one more member looks
// on, by connections of its own, and changes what it says of itself: whoever
// sees that has been told something since.
func storm(ctx context.Context, l *lab, side, n int) (figures [4]float64, err error) {
	proxies, m, err := l.counted()
	if err != nil {
		return figures, err
	}
	var t throng
	dir := l.name()
	enter := func(i int) error {
		addrs, id := turned(proxies.Addrs(), i), fmt.Sprintf("m%03d", i)
		if side == 0 {
			_, err := t.join(ctx, l, addrs, dir, id)
			return err
		}
		stock, err := l.peer(addrs, longTTL)
		if err != nil {
			return err
		}
		return stock.present(ctx, dir, id)
	}
	// All at once would be a storm of its own: each that joins is news for all.
	for there := 0; there < n && err == nil; {
		more := min(processes, n-there)
		if err = inParallel(more, more, func(i int) error { return enter(there + i) }); err == nil {
			there += more
			_, err = t.await(ctx, 0)
		}
	}
	var witness *membership.Registration
	if err == nil && side == 0 {
		witness, err = t.join(ctx, l, l.cluster.Addrs(), dir, "witness")
	}
	if err == nil {
		_, err = t.await(ctx, l.scale.calm/2)
	}
	if err != nil {
		return figures, fmt.Errorf("before the storm: %w", err)
	}
	before, err := quiet(ctx, m)
	if err != nil {
		return figures, err
	}
	accepted, began := proxies.Stats().Accepted, time.Now()
	proxies.ResetAll()
	if witness != nil {
		t.meta = "over"
		if err := witness.Update(ctx, map[string]string{"storm": t.meta}); err != nil {
			return figures, fmt.Errorf("in the storm: %w", err)
		}
	}
	last, err := t.await(ctx, l.scale.calm)
	if err != nil {
		return figures, fmt.Errorf("after the storm: %w", err)
	}
	after, err := m.count()
	if err != nil {
		return figures, err
	}
	peak, err := m.peak(began)
	opened := proxies.Stats().Accepted - accepted
	return [4]float64{float64(peak), float64(opened), float64(after - before), ms(last.Sub(began))}, err
}
