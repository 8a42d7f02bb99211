package faults

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/integration/harness"
)

// probe writes to the store all the time, by the store's own client, to tell
// when it can be written to, by each of the ways that there are for a client.
type probe struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	writes   [][]write // those that succeeded, by way
	failures []int64   // when each of the others was given up
}

// write is when one began and when it succeeded.
type write struct{ began, at int64 }

func startProbe(a admin) *probe {
	ctx, cancel := context.WithCancel(context.Background())
	p := &probe{cancel: cancel, writes: make([][]write, a.ways())}
	p.done.Go(func() {
		for i := 0; wait(ctx, 50*time.Millisecond); i++ {
			way := i % len(p.writes)
			began := harness.Now()
			bound, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			err := a.write(bound, way)
			cancel()
			p.mu.Lock()
			if err == nil {
				p.writes[way] = append(p.writes[way], write{began, harness.Now()})
			} else {
				p.failures = append(p.failures, harness.Now())
			}
			p.mu.Unlock()
		}
	})
	return p
}

func (p *probe) stop() {
	p.cancel()
	p.done.Wait()
}

// after waits until a write has succeeded after a moment, by each of these ways,
// or by every, and returns when.
func (p *probe) after(ctx context.Context, moment int64, ways ...int) (int64, error) {
	return p.await(ctx, func(w write) bool { return w.at > moment }, ways)
}

// anew does the same for a write that also began after the moment: one that was
// under way may have been answered before a fault was felt.
func (p *probe) anew(ctx context.Context, moment int64, ways ...int) (int64, error) {
	return p.await(ctx, func(w write) bool { return w.began > moment }, ways)
}

func (p *probe) await(ctx context.Context, is func(write) bool, ways []int) (int64, error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if at, all := p.first(is, ways); all {
			return at, nil
		}
		if !wait(ctx, 5*time.Millisecond) {
			return 0, context.Cause(ctx)
		}
	}
	return 0, errors.New("no write for a minute")
}

// first returns when the first of such writes succeeded, by the way by which that
// came last, and whether there is one by each.
func (p *probe) first(is func(write) bool, ways []int) (at int64, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for way, writes := range p.writes {
		if len(ways) > 0 && !slices.Contains(ways, way) {
			continue
		}
		i := len(writes)
		for i > 0 && is(writes[i-1]) {
			i--
		}
		if i == len(writes) {
			return 0, false
		}
		at = max(at, writes[i].at)
	}
	return at, true
}

// before returns when the last write before a moment succeeded, by any way.
func (p *probe) before(moment int64) (at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, writes := range p.writes {
		for _, write := range slices.Backward(writes) {
			if write.at <= moment {
				at = max(at, write.at)
				break
			}
		}
	}
	return at
}

// again returns for how long, between two moments, the store was away: from one
// write that succeeded to the next, where one failed in between.
func (p *probe) again(from, to int64) (away time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	marks := []int64{from, to}
	for _, writes := range p.writes {
		for _, w := range writes {
			if from < w.at && w.at < to {
				marks = append(marks, w.at)
			}
		}
	}
	slices.Sort(marks)
	for i, end := range marks[1:] {
		failed := func(at int64) bool { return marks[i] < at && at <= end }
		if slices.ContainsFunc(p.failures, failed) {
			away += time.Duration(end - marks[i])
		}
	}
	return away
}
