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
	taken, _, err := free(ctx, l, elections)
	return []line{taken}, err
}

// free measures how long it takes to take what nobody else wants, and to give it
// back.
func free(ctx context.Context, l *lab, c subject) (taken, given line, err error) {
	store, err := l.open(l.near(0), longTTL)
	if err != nil {
		return taken, given, err
	}
	stock, err := l.peer(l.near(0), longTTL)
	if err != nil {
		return taken, given, err
	}
	floor, err := l.peer(l.near(0), longTTL)
	if err != nil {
		return taken, given, err
	}
	name := l.name()
	us, err := c.ours(store, name)
	if err != nil {
		return taken, given, err
	}
	them, err := c.stock(stock, name, false)
	if err != nil {
		return taken, given, err
	}
	taken = line{what: "take it", unit: milliseconds, floorIs: "two bare commits", why: c.freeWhy}
	taken.goal(toPeer, l.Name, c.freeToPeer)
	taken.goal(toFloor, l.Name, freeToFloor)
	given = line{what: "give it back", unit: milliseconds, floorIs: "a bare commit"}
	for i := range l.scale.pairs + 1 { // the first connects, and makes what is made once
		var took, gave [3]float64
		for side, candidate := range []candidate{us, them, bareCommits{floor, name + "/bare"}} {
			if candidate == nil {
				continue
			}
			if took[side], err = timed(func() error { return candidate.take(ctx) }); err != nil {
				return taken, given, err
			}
			if gave[side], err = timed(func() error { return candidate.give(ctx) }); err != nil {
				return taken, given, err
			}
		}
		if i > 0 {
			taken.add(took, them != nil)
			given.add(gave, them != nil)
		}
	}
	return taken, given, nil
}

// add adds what ours, the peer, if there is one, and the floor took.
func (l *line) add(took [3]float64, peer bool) {
	l.ours, l.floor = append(l.ours, took[0]), append(l.floor, took[2])
	if peer {
		l.peer = append(l.peer, took[1])
	}
}

// bareCommits take as many commits as there must be: to read is as dear as to
// write, where a quorum is asked.
type bareCommits struct {
	peer
	key string
}

func (c bareCommits) take(ctx context.Context) error {
	for range 2 {
		if err := c.put(ctx, c.key); err != nil {
			return err
		}
	}
	return nil
}

func (c bareCommits) give(ctx context.Context) error { return c.put(ctx, c.key) }
