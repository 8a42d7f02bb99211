package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/internal/assign"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// workers share the slots; then one more comes.
const workers = 4

// rebalances measures what it takes to give a newcomer its share.
func rebalances(ctx context.Context, l *lab) ([]line, error) {
	var lines []line
	for _, n := range l.scale.slots {
		more, err := rebalancesOf(ctx, l, n)
		l.clear()
		if err != nil {
			return lines, fmt.Errorf("%d slots: %w", n, err)
		}
		lines = append(lines, more...)
	}
	return lines, nil
}

func rebalancesOf(ctx context.Context, l *lab, n int) ([]line, error) {
	f := &hall{slots: n, ended: make([]atomic.Int64, n), began: make([]atomic.Int64, n)}
	var done sync.WaitGroup
	defer done.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	name := l.name()
	for i := range workers {
		if _, err := f.hire(ctx, l, name, i, &done); err != nil {
			return nil, err
		}
	}
	if err := f.until(ctx, func() bool { return f.running.Load() == int64(n) }); err != nil {
		return nil, err
	}
	if err := f.settled(ctx); err != nil {
		return nil, err
	}
	total := line{what: fmt.Sprintf("%d slots: a fifth worker has its share", n), unit: milliseconds}
	commits := line{what: fmt.Sprintf("%d slots: commits of all workers", n)}
	moved := line{what: fmt.Sprintf("%d slots: slots that moved, of the fewest possible", n), goals: []goal{{of: ours, limit: 1}}}
	ownerless := line{what: fmt.Sprintf("%d slots: time without an owner, for each slot that moves", n), unit: milliseconds, floorIs: "commit, notification, commit"}
	bare, notified, err := barePair(ctx, l)
	if err != nil {
		return nil, err
	}
	for i := range l.scale.rebalances {
		f.moved.Store(0)
		before, from := f.commits.Load(), time.Now()
		leave, err := f.hire(ctx, l, name, workers+i, &done)
		if err != nil {
			return nil, err
		}
		share := int64(n / (workers + 1))
		if err := f.until(ctx, func() bool { return f.moved.Load() >= share && f.running.Load() == int64(n) }); err != nil {
			return nil, fmt.Errorf("the newcomer: %w", err)
		}
		took := time.Since(from)
		if err := f.settled(ctx); err != nil {
			return nil, err
		}
		floor, err := chain(ctx, bare, notified)
		if err != nil {
			return nil, err
		}
		total.ours = append(total.ours, ms(took))
		commits.ours = append(commits.ours, float64(f.commits.Load()-before))
		moved.ours = append(moved.ours, float64(f.moved.Load())/float64(share))
		for k := range n {
			if start := f.began[k].Load(); start >= from.UnixNano() {
				ownerless.ours = append(ownerless.ours, float64(start-f.ended[k].Load())/1e6)
				ownerless.floor = append(ownerless.floor, floor)
			}
		}
		if err := leave(); err != nil {
			return nil, err
		}
		if err := f.until(ctx, func() bool { return f.running.Load() == int64(n) }); err != nil {
			return nil, fmt.Errorf("after the newcomer: %w", err)
		}
		if err := f.settled(ctx); err != nil {
			return nil, err
		}
	}
	return []line{planning(l, n), total, commits, moved, ownerless}, nil
}

// planning is what the plan alone takes, without the store.
func planning(l *lab, n int) line {
	has := make([]int, n)
	seats := make([]assign.Seat, workers+1)
	for i := range seats {
		seats[i] = assign.Seat{Registration: fmt.Sprintf("w%d~x", i), Weight: 1}
	}
	for k := range has {
		has[k] = k % workers
	}
	at := line{what: fmt.Sprintf("%d slots: to compute the plan", n), unit: milliseconds}
	for range l.scale.pairs {
		took, _ := timed(func() error {
			assign.Slots(has, seats, false)
			return nil
		})
		at.ours = append(at.ours, took)
	}
	return at
}

// hall is where slots run: what began and ended when.
type hall struct {
	slots         int
	ended, began  []atomic.Int64 // of each slot, last
	running       atomic.Int64
	moved         atomic.Int64 // bodies that began
	commits       atomic.Int64
	quietCommits  int64
	quietlySince  time.Time
	quietlyBodies int64
}

// hire has one more worker share the slots, until leave is called.
func (f *hall) hire(ctx context.Context, l *lab, name string, i int, done *sync.WaitGroup) (leave func() error, err error) {
	store, err := l.openCounting(turned(l.cluster.Addrs(), i), &f.commits)
	if err != nil {
		return nil, err
	}
	g, err := membership.New(store.Store, name, nil)
	if err != nil {
		return nil, err
	}
	reg, err := g.Join(ctx, membership.Member{ID: fmt.Sprintf("w%d", i)})
	if err != nil {
		return nil, err
	}
	p, err := partition.New(g, name, &partition.Options{Slots: f.slots})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	done.Go(func() {
		defer close(ended)
		_ = p.Run(running, reg, f.body)
	})
	return func() error {
		cancel()
		if _, err := next(ctx, ended); ctx.Err() != nil {
			return err
		}
		return reg.Leave(ctx)
	}, nil
}

func (f *hall) body(ctx context.Context, s *partition.Slot) error {
	f.began[s.Number()].Store(time.Now().UnixNano())
	f.moved.Add(1)
	f.running.Add(1)
	<-ctx.Done()
	f.running.Add(-1)
	f.ended[s.Number()].Store(time.Now().UnixNano())
	return nil
}

// until polls, for events come from many bodies.
func (f *hall) until(ctx context.Context, is func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("after a minute %d of %d slots run", f.running.Load(), f.slots))
	defer cancel()
	for !is() {
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// settled waits until nobody has written for longer than a change of members is
// left to settle.
func (f *hall) settled(ctx context.Context) error {
	f.quietCommits, f.quietlyBodies, f.quietlySince = -1, -1, time.Now()
	return f.until(ctx, func() bool {
		commits, bodies := f.commits.Load(), f.moved.Load()
		if commits != f.quietCommits || bodies != f.quietlyBodies {
			f.quietCommits, f.quietlyBodies, f.quietlySince = commits, bodies, time.Now()
		}
		return time.Since(f.quietlySince) > 2*partition.DefaultSettle+200*time.Millisecond
	})
}

// counting counts commits that were applied.
type counting struct {
	driver.Driver
	commits *atomic.Int64
}

func (c counting) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	result, err := c.Driver.Commit(ctx, txn)
	if result.Applied {
		c.commits.Add(1)
	}
	return result, err
}

// openCounting opens a Store whose commits are counted, until the end of the
// row.
func (l *lab) openCounting(addrs []string, commits *atomic.Int64) (*harness.Opened, error) {
	counted := l.Wrapped(func(d driver.Driver) driver.Driver { return counting{d, commits} })
	store, err := counted.Open(addrs, &backend.Options{TTL: longTTL})
	if err == nil {
		l.atEnd(func() { _ = store.Close() })
	}
	return store, err
}
