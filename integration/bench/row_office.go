package bench

import (
	"context"
	"time"
)

// longTTL keeps sessions on a busy machine where nothing is to expire.
const longTTL = 10 * time.Second

// readWhy says what there is between two commits of an election: after its
// place in the queue, or after the notification that the one ahead is gone, and
// before the term.
var readWhy = map[string]string{
	"etcd":   readQueue,
	"consul": readQueue + ": on Consul a request for each of four places",
	"zookeeper": readQueue + ": on ZooKeeper a read that a quorum stands behind is a write of its own, and then a request for " +
		"each key and each directory",
}

const (
	readQueue  = "Before the commit that takes it the queue is read once, to see who comes first"
	twoCommits = "The stock recipe takes it by one commit. Ours are two: a place in the queue, and the term, which fences whoever led before"
)

func everywhere(why string) map[string]string {
	reasons := make(map[string]string)
	for _, store := range Stores() {
		reasons[store] = why
	}
	return reasons
}

// office measures how long it takes to take an office that nobody else wants,
// with an open session, by one that had it before.
func office(ctx context.Context, l *lab) ([]line, error) {
	store, err := l.open(l.near(0), longTTL)
	if err != nil {
		return nil, err
	}
	stock, err := l.peer(l.near(0), longTTL)
	if err != nil {
		return nil, err
	}
	floor, err := l.peer(l.near(0), longTTL)
	if err != nil {
		return nil, err
	}
	name := l.name()
	us, err := newOurs(store, name)
	if err != nil {
		return nil, err
	}
	them, err := stock.candidate(name, false)
	if err != nil {
		return nil, err
	}
	take := func(c candidate) func() error { return func() error { return c.take(ctx) } }
	bare := func() error {
		for range 2 {
			if err := floor.put(ctx, name+"/bare"); err != nil {
				return err
			}
		}
		return nil
	}
	taken := line{what: "to take office", unit: milliseconds, floorIs: "two bare commits", goals: []goal{
		{text: "at most 1.3 times two bare commits", of: toFloor, limit: 1.3, why: readWhy},
		{text: "no slower than the stock recipe", of: toPeer, limit: 1, why: everywhere(twoCommits)},
	}}
	for i := range l.scale.pairs + 1 { // the first connects, and makes what is made once
		a, err := timed(take(us))
		if err == nil {
			err = us.give(ctx)
		}
		if err != nil {
			return nil, err
		}
		b, err := timed(take(them))
		if err == nil {
			err = them.give(ctx)
		}
		if err != nil {
			return nil, err
		}
		c, err := timed(bare)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			taken.ours, taken.peer, taken.floor = append(taken.ours, a), append(taken.peer, b), append(taken.floor, c)
		}
	}
	return []line{taken}, nil
}
