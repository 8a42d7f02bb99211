package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// contenders is how many processes add to one counter, with one caller each.
const contenders = 32

// crowded is how often, in times of scale.load, contenders add: each of them is
// to have several turns.
const crowded = 4

// contention measures one counter under contention: how fast all get on, held
// against commits one after the other, and whether each process gets its share.
func contention(ctx context.Context, l *lab) ([]line, error) {
	all := fmt.Sprintf("%d processes with 1 caller each: ", contenders)
	rate := line{
		what: all + "increments", unit: perSecond, floorIs: "bare commits, one after the other",
		goals: []goal{{of: toFloor, limit: 0.7, least: true}},
	}
	share := line{
		what: all + "smallest share of a process, in medians", unit: plain,
		goals: []goal{{of: ours, limit: 0.1, least: true}},
	}
	longest := line{
		what: all + "longest Add", unit: milliseconds,
		goals: []goal{{of: ours, limit: 2000}},
	}
	name := l.name()
	var us, them []func() error
	for i := range contenders {
		add, err := l.add(ctx, name, i)
		if err != nil {
			return nil, err
		}
		stock, err := l.peer(l.near(i), longTTL)
		if err != nil {
			return nil, err
		}
		us = append(us, add)
		them = append(them, func() error { return stock.increment(ctx, name+"/stock") })
	}
	bare, err := l.peer(l.near(0), longTTL)
	if err != nil {
		return nil, err
	}
	put := []func() error{func() error { return bare.put(ctx, name+"/bare") }}
	for range l.scale.loads {
		// Half of the bare commits come before ours and half after it: the
		// machine does not always have the same to do.
		before, err := compete(put, crowded*l.scale.load/2)
		if err != nil {
			return nil, err
		}
		mine, err := compete(us, crowded*l.scale.load)
		if err != nil {
			return nil, err
		}
		after, err := compete(put, crowded*l.scale.load/2)
		if err != nil {
			return nil, err
		}
		stock, err := compete(them, crowded*l.scale.load)
		if err != nil {
			return nil, err
		}
		rate.ours, rate.peer = append(rate.ours, mine.rate), append(rate.peer, stock.rate)
		rate.floor = append(rate.floor, (before.rate+after.rate)/2)
		share.ours, share.peer = append(share.ours, mine.share), append(share.peer, stock.share)
		longest.ours, longest.peer = append(longest.ours, mine.longest), append(longest.peer, stock.longest)
	}
	return []line{rate, share, longest}, nil
}

// contest is what contenders did.
type contest struct {
	rate    float64 // calls in a second
	share   float64 // the smallest number of calls of one, in medians
	longest float64 // call, in milliseconds
}

// compete has each of the ways called by one caller, without a pause, for a while,
// and counts what ends in that time. Each is called once before.
func compete(ways []func() error, while time.Duration) (contest, error) {
	if err := inParallel(len(ways), 1, func(i int) error { return ways[i]() }); err != nil {
		return contest{}, err
	}
	counts, slowest, errs := make([]float64, len(ways)), make([]float64, len(ways)), make([]error, len(ways))
	began := time.Now()
	var wg sync.WaitGroup
	for i, way := range ways {
		wg.Go(func() {
			for first := true; first || time.Since(began) < while; first = false {
				took, err := timed(way)
				if err != nil {
					errs[i] = err
					return
				}
				slowest[i] = max(slowest[i], took)
				if time.Since(began) < while {
					counts[i]++
				}
			}
		})
	}
	wg.Wait()
	c := contest{longest: slices.Max(slowest)}
	total := 0.0
	for i, n := range counts {
		if errs[i] != nil {
			return contest{}, errs[i]
		}
		total += n
	}
	c.rate = total / while.Seconds()
	if m := median(counts); m > 0 {
		c.share = slices.Min(counts) / m
	}
	return c, nil
}
