package bench

import (
	"context"
	"time"
)

// longTTL keeps sessions on a busy machine where nothing is to expire.
const longTTL = 10 * time.Second

// The goals of an election: in times of the stock recipe's time, and of the least
// that the store takes for it.
var (
	freeToPeer  = perStore{"etcd": 1.1, "consul": 1.3, "zookeeper": 1.3}
	freeToFloor = perStore{"postgres": 1.3}
)

// freeWhy says what ours asks for before its commit, and the recipe does not.
var freeWhy = why{
	"etcd": "Both make a read and a commit. Quorate's commit has five operations: the leader's key, and the marks that hold the term.",
	"consul": "Quorate reads two directories in Consul's mode `consistent`, for which the server asks a quorum. The stock recipe reads " +
		"one key in the default mode.",
	"zookeeper": "Quorate's read is linearizable: a `sync` goes before it. The stock recipe lists the directory at a server that may lag.",
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
	taken := line{what: "take it", unit: milliseconds, floorIs: "two bare commits", why: freeWhy}
	taken.goal(toPeer, l.Name, freeToPeer)
	taken.goal(toFloor, l.Name, freeToFloor)
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
