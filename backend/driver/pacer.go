package driver

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How a Pacer's rate moves.
const (
	// paceCut is what is left of the rate after a refusal.
	paceCut = 0.7
	// paceGain is by how many requests per second the rate grows each second.
	paceGain = 1
	// paceCalm is after what time without a refusal the rate doubles as well,
	// once in each paceDouble.
	paceCalm, paceDouble = 10 * time.Second, 5 * time.Second
	// The rate is never below paceLeast, and above paceMost there is no limit.
	paceLeast, paceMost = 1.0, 1000.0
	// paceFirst is the least rate that the first refusal cuts: it may be others who
	// load the store.
	paceFirst = 20
	// paceWindow is the time over which requests are counted to begin with.
	paceWindow = time.Second
)

// Pacer slows a driver down when its store refuses requests for load. It spaces
// the requests of all calls. Each refusal lowers the rate, and it rises again
// without refusals: additive increase, multiplicative decrease (Chiu and Jain,
// Computer Networks and ISDN Systems 17, 1989). So the processes that share a
// store get equal shares in the end. Without refusals it costs nothing.
//
// Requests of the call that began first go first, so that calls end one after
// the other. Urgent requests, which keep a session, do not wait.
//
// The zero Pacer is ready for use. A refused request was surely not applied, so
// it may be sent again.
type Pacer struct {
	mu      sync.Mutex // guards the fields below
	rate    float64    // requests per second, 0: no limit
	next    time.Time  // when the next may be sent
	grown   time.Time  // up to when growth is in the rate
	cutAt   time.Time  // the last refusal that cut it
	cuts    int        // how often it was cut
	sent    int        // since window began; and before it, in one as long
	before  int
	window  time.Time
	queue   []*paced // by turn
	changed func(perSecond float64)
}

// paced is a request that waits.
type paced struct {
	turn uint64
	wake chan struct{} // holds one when it may be the first
}

// Paced is implemented by a driver that has a Pacer.
type Paced interface{ Pacer() *Pacer }

// Notify has f called, on no goroutine of its own, when requests begin to be
// limited, with the rate, and with 0 when they no longer are.
func (p *Pacer) Notify(f func(perSecond float64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = f
}

type turnKey struct{}

var turns atomic.Uint64

// InTurn gives the requests made under the context that it returns one place
// among the calls of all drivers: that of now.
func InTurn(ctx context.Context) context.Context {
	return context.WithValue(ctx, turnKey{}, turns.Add(1))
}

// Do sends a request when its turn has come, and again as long as send reports
// that the store refused it for load. If ctx ends before it was sent, the error
// wraps ErrOverloaded and the cause; the request was surely not applied.
func (p *Pacer) Do(ctx context.Context, send func() (overloaded bool)) error {
	turn, ok := ctx.Value(turnKey{}).(uint64)
	if !ok {
		turn = turns.Add(1)
	}
	for {
		cuts, err := p.wait(ctx, turn)
		if err != nil {
			return fmt.Errorf("%w: not sent: %w", ErrOverloaded, err)
		}
		if !send() {
			return nil
		}
		p.refused(cuts)
	}
}

// Urgent sends a request at once, and once.
func (p *Pacer) Urgent(send func() (overloaded bool)) {
	p.mu.Lock()
	p.grow(time.Now())
	cuts := p.take(time.Now())
	p.mu.Unlock()
	if send() {
		p.refused(cuts)
	}
}

// wait waits for the turn of a request. It returns how often the rate had been
// cut by then.
func (p *Pacer) wait(ctx context.Context, turn uint64) (cuts int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.grow(now)
	if p.rate == 0 && len(p.queue) == 0 {
		return p.take(now), ctx.Err()
	}
	w := &paced{turn: turn, wake: make(chan struct{}, 1)}
	at, _ := slices.BinarySearchFunc(p.queue, w, func(a, b *paced) int {
		if a.turn <= b.turn {
			return -1
		}
		return 1
	})
	p.queue = slices.Insert(p.queue, at, w)
	defer p.leave(w)
	for ctx.Err() == nil {
		now := time.Now()
		p.grow(now)
		var due <-chan time.Time
		var timer *time.Timer
		if p.queue[0] == w {
			pause := p.next.Sub(now)
			if p.rate == 0 || pause <= 0 {
				return p.take(now), nil
			}
			timer = time.NewTimer(pause)
			due = timer.C
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
		p.mu.Lock()
	}
	return 0, context.Cause(ctx)
}

// leave takes a request out of the queue. The lock is held.
func (p *Pacer) leave(w *paced) {
	if at := slices.Index(p.queue, w); at >= 0 {
		p.queue = slices.Delete(p.queue, at, at+1)
	}
	if len(p.queue) > 0 {
		select {
		case p.queue[0].wake <- struct{}{}:
		default:
		}
	}
}

// take counts a request that is sent now. The lock is held.
func (p *Pacer) take(now time.Time) (cuts int) {
	switch since := now.Sub(p.window); {
	case since >= 2*paceWindow:
		p.window, p.before, p.sent = now, 0, 0
	case since >= paceWindow:
		p.window, p.before, p.sent = now, p.sent, 0
	}
	p.sent++
	if p.rate > 0 {
		if p.next.Before(now) {
			p.next = now
		}
		p.next = p.next.Add(time.Duration(float64(time.Second) / p.rate))
	}
	return p.cuts
}

// grow raises the rate for the time that has passed. The lock is held.
func (p *Pacer) grow(now time.Time) {
	if p.rate == 0 {
		return
	}
	passed := now.Sub(p.grown).Seconds()
	p.grown = now
	p.rate += paceGain * passed
	if now.Sub(p.cutAt) > paceCalm {
		p.rate *= math.Pow(2, passed/paceDouble.Seconds())
	}
	if p.rate > paceMost {
		p.rate = 0
		p.notify()
	}
}

// refused cuts the rate, once for all requests that were sent since it was cut
// last: they met the same limit.
func (p *Pacer) refused(cuts int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.grow(now)
	if cuts != p.cuts {
		return
	}
	began := p.rate == 0
	if began {
		p.rate = min(float64(max(p.sent, p.before, paceFirst)), paceMost)
	}
	p.rate = max(p.rate*paceCut, paceLeast)
	p.cuts++
	p.cutAt, p.grown = now, now
	p.next = now.Add(time.Duration(float64(time.Second) / p.rate))
	if began {
		p.notify()
	}
}

func (p *Pacer) notify() {
	if p.changed != nil {
		p.changed(p.rate)
	}
}
