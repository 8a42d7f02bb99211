package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/membership"
)

// storms resets all connections of many processes at once, each a member of one
// group that it watches, and counts what the servers get.
func storms(ctx context.Context, l *lab) ([]line, error) {
	n := l.scale.clients
	requests := line{
		what: fmt.Sprintf("%d processes: most requests within a second", n), peerIs: recipe[l.Name].presence,
		goals: []goal{{text: "no more than the stock client", of: toPeer, limit: 1, why: everywhere("Each of ours reads again what it watches, " +
			"for it may have missed something")}},
	}
	connections := line{what: fmt.Sprintf("%d processes: connections opened in all", n), peerIs: recipe[l.Name].presence}
	all := line{
		what:   fmt.Sprintf("%d processes: requests in all, until all see all others and for %v at least", n, l.scale.calm),
		peerIs: recipe[l.Name].presence,
	}
	back := line{what: fmt.Sprintf("%d processes: until all see all others again", n), unit: milliseconds}
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

// awaitAll waits for calm to pass, and then until all see n members, which with
// hundreds in one process may take a while. It returns when it last was not so.
func awaitAll(ctx context.Context, groups []*membership.Group, n int, calm time.Duration) (last time.Time, _ error) {
	last = time.Now()
	for began := last; ; {
		now, err := time.Now(), allSeen(groups, n)
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

// allSeen reports how many do not see all others.
func allSeen(groups []*membership.Group, n int) error {
	var wrong []membership.View
	for _, g := range groups {
		if v := g.View(); v.Stale || len(v.Members) != n {
			wrong = append(wrong, v)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d processes do not see all others; one sees %d, stale %t, aged %v",
		len(wrong), n, len(wrong[0].Members), wrong[0].Stale, wrong[0].Age)
}

func storm(ctx context.Context, l *lab, side, n int) (figures [4]float64, err error) {
	proxies, m, err := l.counted()
	if err != nil {
		return figures, err
	}
	dir := l.name()
	var groups []*membership.Group
	enter := func(i int) error {
		addrs, id := turned(proxies.Addrs(), i), fmt.Sprintf("m%03d", i)
		if side == 1 {
			stock, err := l.peer(addrs, longTTL)
			if err != nil {
				return err
			}
			return stock.present(ctx, dir, id)
		}
		store, err := l.open(addrs, longTTL)
		if err != nil {
			return err
		}
		g, err := membership.New(store.Store, dir, nil)
		if err != nil {
			return err
		}
		l.mu.Lock()
		groups = append(groups, g)
		l.mu.Unlock()
		_, err = g.Join(ctx, membership.Member{ID: id})
		return err
	}
	// All at once would be a storm of its own: each that joins is news for all.
	for there := 0; there < n && err == nil; {
		more := min(processes, n-there)
		if err = inParallel(more, more, func(i int) error { return enter(there + i) }); err == nil {
			there += more
			_, err = awaitAll(ctx, groups, there, 0)
		}
	}
	if err == nil {
		_, err = awaitAll(ctx, groups, n, l.scale.calm/2)
	}
	if err != nil {
		return figures, fmt.Errorf("before the storm: %w", err)
	}
	if _, err := quiet(ctx, m); err != nil {
		return figures, err
	}
	before, err := m.count()
	if err != nil {
		return figures, err
	}
	accepted, began := proxies.Stats().Accepted, time.Now()
	proxies.ResetAll()
	last, err := awaitAll(ctx, groups, n, l.scale.calm)
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
