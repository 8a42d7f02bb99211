package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/counter"
)

// counters measures Counter.Add: call by call with one caller, and in calls per
// second with many.
func counters(ctx context.Context, l *lab) ([]line, error) {
	one, err := oneCaller(ctx, l)
	if err != nil {
		return nil, err
	}
	l.clear()
	lines := []line{one}
	sized, err := largeDocument(ctx, l)
	if err != nil {
		return lines, err
	}
	l.clear()
	lines = append(lines, sized)
	for _, each := range []struct {
		processes, callers int
		least              float64
	}{{1, 64, 100}, {8, 8, 15}} {
		many, err := manyCallers(ctx, l, each.processes, each.callers)
		l.clear()
		if err != nil {
			return lines, err
		}
		if l.Name == "etcd" {
			many.goals = []goal{{of: toPeer, limit: each.least, least: true}}
		} else {
			many.goals = []goal{{of: toPeer, limit: 1, least: true}}
		}
		lines = append(lines, many)
	}
	crowded, err := contention(ctx, l)
	return append(lines, crowded...), err
}

// add returns what adds one to a counter of ours, by a Store of its own.
func (l *lab) add(ctx context.Context, name string, at int) (func() error, error) {
	store, err := l.open(l.near(at), longTTL)
	if err != nil {
		return nil, err
	}
	c, err := counter.New(store.Store, name, nil)
	return func() error {
		_, err := c.Add(ctx, 1)
		return err
	}, err
}

func oneCaller(ctx context.Context, l *lab) (line, error) {
	at := line{what: "1 caller: an Add", unit: milliseconds, floorIs: "a bare commit", goals: []goal{{of: toPeer, limit: 1}}}
	name := l.name()
	us, err := l.add(ctx, name, 0)
	if err != nil {
		return at, err
	}
	stock, err := l.peer(l.near(0), longTTL)
	if err != nil {
		return at, err
	}
	floor, err := l.peer(l.near(0), longTTL)
	if err != nil {
		return at, err
	}
	ways := []func() error{
		us,
		func() error { return stock.increment(ctx, name+"/stock") },
		func() error { return floor.put(ctx, name+"/bare") },
	}
	err = l.inTurns(&at, ways, []*[]float64{&at.ours, &at.peer, &at.floor})
	return at, err
}

// inTurns times ways that take turns, the first turn not counted.
func (l *lab) inTurns(at *line, ways []func() error, into []*[]float64) error {
	for i := range l.scale.pairs + 1 {
		for w, way := range ways {
			took, err := timed(way)
			if err != nil {
				return fmt.Errorf("%s: %w", at.what, err)
			}
			if i > 0 {
				*into[w] = append(*into[w], took)
			}
		}
	}
	return nil
}

// largeDocument holds a counter with many writers against one with one.
func largeDocument(ctx context.Context, l *lab) (line, error) {
	at := line{
		what: fmt.Sprintf("1 caller: an Add, %d entries in the document", l.scale.entries), unit: milliseconds,
		floorIs: "one entry", goals: []goal{{of: toFloor, limit: 1.25}}, why: why{"": "An Add reads and writes the whole document."},
	}
	one, err := l.add(ctx, l.name(), 0)
	if err != nil {
		return at, err
	}
	name := l.name()
	store, err := l.open(l.cluster.Addrs(), longTTL)
	if err != nil {
		return at, err
	}
	for range l.scale.entries - 1 {
		other, err := counter.New(store.Store, name, nil) // a writer of its own
		if err == nil {
			_, err = other.Add(ctx, 1)
		}
		if err != nil {
			return at, err
		}
	}
	many, err := l.add(ctx, name, 0)
	if err != nil {
		return at, err
	}
	err = l.inTurns(&at, []func() error{many, one}, []*[]float64{&at.ours, &at.floor})
	return at, err
}

func manyCallers(ctx context.Context, l *lab, processes, callers int) (line, error) {
	at := line{what: fmt.Sprintf("%d processes with %d callers each: increments", processes, callers), unit: perSecond}
	if processes == 1 {
		at.what = fmt.Sprintf("1 process with %d callers: increments", callers)
	}
	name := l.name()
	var us, them []func() error
	for i := range processes {
		add, err := l.add(ctx, name, i)
		if err != nil {
			return at, err
		}
		stock, err := l.peer(l.near(i), longTTL)
		if err != nil {
			return at, err
		}
		us = append(us, add)
		them = append(them, func() error { return stock.increment(ctx, name+"/stock") })
	}
	for range l.scale.loads {
		for side, ways := range [][]func() error{us, them} {
			n, err := l.perSecond(ways, callers)
			if err != nil {
				return at, err
			}
			into := []*[]float64{&at.ours, &at.peer}[side]
			*into = append(*into, n)
		}
	}
	return at, nil
}

// perSecond has each of the ways called by so many callers without a pause, by
// each once at least.
func (l *lab) perSecond(ways []func() error, callers int) (float64, error) {
	var n atomic.Int64
	var failed atomic.Pointer[error]
	for _, way := range ways { // connects
		if err := way(); err != nil {
			return 0, err
		}
	}
	var wg sync.WaitGroup
	began := time.Now()
	for _, way := range ways {
		for range callers {
			wg.Go(func() {
				for first := true; first || time.Since(began) < l.scale.load && failed.Load() == nil; first = false {
					if err := way(); err != nil {
						failed.Store(&err)
						return
					}
					n.Add(1)
				}
			})
		}
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(n.Load()) / time.Since(began).Seconds(), nil
}
