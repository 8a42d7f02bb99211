package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend"
)

// shortTTL is one that can be waited for.
const shortTTL = 2 * time.Second

// crashes measures from when a leader's connections are cut until another
// leads, and how much of that is left once a bystander hears that the store has
// given the office up: the next leader hears it by a notification of its own.
// Ours and theirs crash at the same moment: what is compared is seconds long.
func crashes(ctx context.Context, l *lab) ([]line, error) {
	all := line{what: "from the crash", unit: milliseconds, goals: []goal{{of: toPeer, limit: 1}}, why: crashWhy}
	all.goal(ours, l.Name, perStore{"postgres": ms(shortTTL + time.Second)})
	after := line{
		what: "from when a bare watch shows that it is free", unit: milliseconds, floorIs: "two bare commits",
		goals: []goal{{of: toFloor, limit: 1}},
	}
	for range l.scale.crashes {
		c, err := crash(ctx, l)
		if err != nil {
			return nil, err
		}
		all.ours, all.peer = append(all.ours, c.ours), append(all.peer, c.peer)
		after.ours, after.floor = append(after.ours, c.rest), append(after.floor, c.floor)
	}
	return []line{all, after}, nil
}

// crashWhy says what the time depends on beside the recipe.
var crashWhy = why{
	"": "Both wait until the store ends a session. The time since its last renewal is chance.",
	"postgres": "The stock lock belongs to its connection, and these connections are reset. If a machine falls silent instead, " +
		"the stock lock lasts until TCP gives up, which takes hours by default.",
}

type crashed struct{ ours, peer, rest, floor float64 }

func crash(ctx context.Context, l *lab) (c crashed, err error) {
	defer l.clear()
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, fmt.Errorf("nobody leads 30 s after a crash"))
	defer cancel()
	name := l.name()
	victims, err := l.proxies()
	if err != nil {
		return c, err
	}
	var taken [2]<-chan result
	for side := range taken {
		var first, second candidate
		if side == 0 {
			victim, err := l.Open(victims.Addrs(), &backend.Options{TTL: shortTTL, CloseTimeout: time.Second})
			if err != nil {
				return c, err
			}
			l.atEnd(func() { _ = victim.Close() })
			if first, err = newOurs(victim, name); err != nil {
				return c, err
			}
			heir, err := l.open(l.cluster.Addrs(), shortTTL)
			if err != nil {
				return c, err
			}
			if second, err = newOurs(heir, name); err != nil {
				return c, err
			}
		} else {
			for i, addrs := range [][]string{victims.Addrs(), l.cluster.Addrs()} {
				stock, err := l.peer(addrs, shortTTL)
				if err != nil {
					return c, err
				}
				both := []*candidate{&first, &second}
				if *both[i], err = stock.candidate(name, true); err != nil {
					return c, err
				}
			}
		}
		if err := first.take(ctx); err != nil {
			return c, fmt.Errorf("the first leader: %w", err)
		}
		done := make(chan result, 1)
		taken[side] = done
		go func() {
			err := second.take(ctx)
			done <- result{time.Now(), err}
		}()
	}
	bare, err := l.peer(l.cluster.Addrs(), longTTL)
	if err != nil {
		return c, err
	}
	// The second waits when it has asked; that it does so is seen by nobody.
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return c, err
	}
	gone, err := bare.watch(ctx, "quorate/election/"+name+"/tenure/leader")
	if err != nil {
		return c, err
	}
	began := time.Now()
	victims.Cut()
	var at [2]time.Time
	for side := range taken {
		r, err := next(ctx, taken[side])
		if err == nil {
			err = r.err
		}
		if err != nil {
			return c, fmt.Errorf("the next leader: %w", err)
		}
		at[side] = r.at
	}
	left, err := next(ctx, gone)
	if err != nil {
		return c, fmt.Errorf("the end of the office: %w", err)
	}
	victims.HealReset()
	floor, err := timed(func() error {
		for range 2 {
			if err := bare.put(ctx, name+"/bare"); err != nil {
				return err
			}
		}
		return nil
	})
	return crashed{ms(at[0].Sub(began)), ms(at[1].Sub(began)), ms(at[0].Sub(left)), floor}, err
}

type result struct {
	at  time.Time
	err error
}
