package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/membership"
)

// watching is how many processes the members are spread over at most.
const watching = 20

// gathered is longer than a view is held back that follows another at once.
const gathered = 400 * time.Millisecond

// members measures until a change of one member is seen in all processes of a
// group, and what it costs one of them.
func members(ctx context.Context, l *lab) ([]line, error) {
	var lines []line
	for _, n := range l.scale.members {
		more, err := membersOf(ctx, l, n)
		l.clear()
		if err != nil {
			return lines, fmt.Errorf("%d members: %w", n, err)
		}
		lines = append(lines, more...)
	}
	return lines, nil
}

func membersOf(ctx context.Context, l *lab, n int) ([]line, error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	proxies, m, err := l.counted()
	if err != nil {
		return nil, err
	}
	name := l.name()
	groups := make([]*membership.Group, min(n, watching))
	for p := range groups {
		addrs := turned(l.cluster.Addrs(), p)
		if p == 0 {
			addrs = proxies.Addrs()
		}
		store, err := l.open(addrs, longTTL)
		if err != nil {
			return nil, err
		}
		if groups[p], err = membership.New(store.Store, name, nil); err != nil {
			return nil, err
		}
	}
	c := crowd{groups: groups, regs: make([]*membership.Registration, n), seen: make([]chan membership.View, len(groups))}
	for p, g := range groups {
		c.seen[p] = make(chan membership.View, 256)
		running.Go(func() {
			for v, err := range g.Watch(ctx) {
				if err != nil {
					return
				}
				select {
				case c.seen[p] <- v:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	joins := line{what: fmt.Sprintf("%d join at once: until all processes see them", n), unit: milliseconds}
	took, err := timed(func() error { return c.join(ctx) })
	if err != nil {
		return nil, err
	}
	joins.ours = []float64{took}
	bare, notified, err := bareWatches(ctx, l, len(groups))
	if err != nil {
		return nil, err
	}
	asked, received, err := traffic(ctx, proxies, m)
	if err != nil {
		return nil, err
	}
	seen := line{
		what: fmt.Sprintf("%d members in %d processes: a change is seen by all", n, len(groups)), unit: milliseconds,
		floorIs: "a bare commit, seen by as many bare watches",
	}
	for i := range l.scale.changes {
		took, err := timed(func() error { return c.change(ctx, i) })
		if err != nil {
			return nil, err
		}
		floor, err := timed(func() error { return bareChange(ctx, bare, notified) })
		if err != nil {
			return nil, err
		}
		seen.ours, seen.floor = append(seen.ours, took), append(seen.floor, floor)
		if err := pause(ctx, gathered); err != nil {
			return nil, err
		}
	}
	askedAll, receivedAll, err := traffic(ctx, proxies, m)
	changes := float64(l.scale.changes)
	return []line{
		joins, seen,
		lineOf(fmt.Sprintf("%d members: to one process per change", n), bytesUnit, (receivedAll-received)/changes),
		lineOf(fmt.Sprintf("%d members: requests of one process per change", n), plain, (askedAll-asked)/changes),
	}, err
}

// traffic waits until what was begun is through, and returns the requests and
// the bytes of replies so far.
func traffic(ctx context.Context, proxies *cluster.Proxies, m *meter) (asked, received float64, err error) {
	if err := pause(ctx, gathered); err != nil {
		return 0, 0, err
	}
	n, err := quiet(ctx, m)
	return float64(n), float64(proxies.Stats().ReplyBytes), err
}

// crowd is a group of many members in fewer processes.
type crowd struct {
	groups []*membership.Group
	regs   []*membership.Registration
	seen   []chan membership.View
}

func (c *crowd) join(ctx context.Context) error {
	err := inParallel(len(c.regs), 50, func(i int) (err error) {
		c.regs[i], err = c.groups[i%len(c.groups)].Join(ctx, membership.Member{ID: fmt.Sprintf("m%04d", i), Addr: "10.0.0.1:8080"})
		return err
	})
	if err != nil {
		return err
	}
	return c.all(ctx, func(v membership.View) bool { return len(v.Members) == len(c.regs) })
}

// change updates a member of another process than the first, if there is one,
// so that what that one sends is not counted.
func (c *crowd) change(ctx context.Context, i int) error {
	reg := c.regs[min(1, len(c.regs)-1)]
	value := strconv.Itoa(i)
	if err := reg.Update(ctx, map[string]string{"v": value}); err != nil {
		return err
	}
	return c.all(ctx, func(v membership.View) bool {
		m, _ := v.Lookup(reg.ID())
		return m.Meta["v"] == value
	})
}

// all waits until every process has a view that is so.
func (c *crowd) all(ctx context.Context, is func(membership.View) bool) error {
	for _, seen := range c.seen {
		for {
			v, err := next(ctx, seen)
			if err != nil {
				return err
			}
			if is(v) {
				break
			}
		}
	}
	return nil
}

func bareWatches(ctx context.Context, l *lab, n int) (peer, []<-chan time.Time, error) {
	var first peer
	notified := make([]<-chan time.Time, n)
	for i := range notified {
		p, err := l.peer(turned(l.cluster.Addrs(), i), longTTL)
		if err == nil && first == nil {
			first = p
			err = p.put(ctx, "bare/group")
		}
		if err == nil {
			notified[i], err = p.watch(ctx, "bare/group")
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return first, notified, nil
}

// bareChange is the least that a change can be: a commit, and all watches are
// notified.
func bareChange(ctx context.Context, bare peer, notified []<-chan time.Time) error {
	if err := bare.put(ctx, "bare/group"); err != nil {
		return err
	}
	for _, changed := range notified {
		if _, err := next(ctx, changed); err != nil {
			return err
		}
	}
	return nil
}
