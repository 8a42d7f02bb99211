package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// processes is how many processes the candidates of a queue are spread over.
const processes = 32

// The goals of a hand-over.
var (
	handoverToPeer   = perStore{"etcd": 1.2, "consul": 0.9, "zookeeper": 1.7}
	handoverToFloor  = perStore{"etcd": 1.15, "consul": 1.2, "zookeeper": 1.3}
	handoverRequests = perStore{"etcd": 8, "consul": 10, "zookeeper": 14}
)

// handoverWhy says what the recipes spare that hand out no term.
var handoverWhy = why{
	"etcd":      noTake,
	"consul":    "With few waiting, the stock recipe's next holder acquires at once. Its requests grow with the number that wait, and ours do not.",
	"zookeeper": noTake,
}

const noTake = "The stock recipe's next candidate holds the lock as soon as the node ahead is deleted, without a commit. Quorate " +
	"commits once: the commit raises the term, which fences the leader before."

// handovers measures graceful hand-overs with more and more that wait.
func handovers(ctx context.Context, l *lab) ([]line, error) { return handoversIn(ctx, l, elections) }

func handoversIn(ctx context.Context, l *lab, c subject) ([]line, error) {
	var lines []line
	for _, n := range l.scale.waiting {
		if n > c.most {
			break
		}
		more, err := handoversOf(ctx, l, c, n)
		if err != nil {
			return lines, fmt.Errorf("%d waiting: %w", n, err)
		}
		lines = append(lines, more...)
		if fewest := median(lines[0].ours); n > l.scale.waiting[0] {
			at := &lines[len(lines)-2]
			at.goals = append(at.goals, goal{of: ours, limit: 1.3 * fewest}) // flat
		}
		l.clear()
	}
	return lines, nil
}

func handoversOf(ctx context.Context, l *lab, c subject, n int) ([]line, error) {
	name := l.name()
	ctx, cancel := context.WithCancel(ctx)
	var queues [2]*queue
	var stocks []peer
	defer func() {
		cancel()
		for _, stock := range stocks {
			stock.close() // zk.Lock heeds no context
		}
		for _, q := range queues {
			if q != nil {
				q.running.Wait()
			}
		}
	}()
	for side := range queues {
		proxies, m, err := l.counted()
		if err != nil {
			return nil, err
		}
		if side == 1 && !c.hasStock(l.Name) {
			break
		}
		q := &queue{meter: m, seats: c.seats, taken: make(chan *waiter, n+c.seats), failed: make(chan error, n+c.seats)}
		queues[side] = q
		var enter []func(i int) (candidate, error)
		for p := range min(processes, n+c.seats) {
			addrs := turned(proxies.Addrs(), p)
			if side == 0 {
				store, err := l.open(addrs, longTTL)
				if err != nil {
					return nil, err
				}
				enter = append(enter, func(int) (candidate, error) { return c.ours(store, name) })
				continue
			}
			ttl := 6 * longTTL // theirs renew one by one, which is not what is measured
			if l.Name == "zookeeper" {
				ttl = longTTL
			}
			stock, err := l.peer(addrs, ttl)
			if err != nil {
				return nil, err
			}
			stocks = append(stocks, stock)
			enter = append(enter, func(int) (candidate, error) { return c.stock(stock, name, true) })
		}
		if err := q.fill(ctx, n+c.seats, func(i int) (candidate, error) { return enter[i%len(enter)](i) }); err != nil {
			return nil, fmt.Errorf("%s: %w", sides[side], err)
		}
	}
	bare, notified, err := barePair(ctx, l)
	if err != nil {
		return nil, err
	}
	times := line{
		what: fmt.Sprintf("%d waiting", n), unit: milliseconds, floorIs: "commit, notification, commit", why: c.handoverWhy,
	}
	times.goal(toPeer, l.Name, c.handoverToPeer)
	times.goal(toFloor, l.Name, handoverToFloor)
	requests := line{what: fmt.Sprintf("%d waiting: requests", n)}
	requests.goal(ours, l.Name, handoverRequests)
	for i := range l.scale.handovers + 1 {
		var took, asked [2]float64
		for side, q := range queues {
			if q == nil {
				continue
			}
			if took[side], asked[side], err = q.handOver(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", sides[side], err)
			}
		}
		floor, err := chain(ctx, bare, notified)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue
		}
		times.add([3]float64{took[0], took[1], floor}, queues[1] != nil)
		requests.ours = append(requests.ours, asked[0])
		if queues[1] != nil {
			requests.peer = append(requests.peer, asked[1])
		}
	}
	return []line{times, requests}, nil
}

var sides = [2]string{"ours", "the peer's"}

// queue is a number of candidates for the same thing.
type queue struct {
	meter   *meter
	seats   int // so many hold it at once
	taken   chan *waiter
	failed  chan error
	running sync.WaitGroup
	holder  *waiter
	rate    float64 // of requests per second when nothing happens
}

type waiter struct {
	candidate
	at         time.Time // when it took
	give, wait chan struct{}
}

// fill lets n candidates in, and waits until some hold and the others wait. They
// come one from each process at a time: where each asks for the whole queue, all
// at once would be another measurement.
func (q *queue) fill(ctx context.Context, n int, enter func(i int) (candidate, error)) error {
	all := make([]*waiter, n)
	err := inParallel(n, processes, func(i int) error {
		c, err := enter(i)
		all[i] = &waiter{candidate: c, give: make(chan struct{}, 1), wait: make(chan struct{}, 1)}
		return err
	})
	if err != nil {
		return err
	}
	for group := range slices.Chunk(all, processes) {
		for _, w := range group {
			q.running.Go(func() {
				if err := q.run(ctx, w); ctx.Err() == nil {
					q.failed <- err
				}
			})
		}
		if q.holder == nil {
			for range q.seats { // all but the last keep theirs
				if err := q.next(ctx); err != nil {
					return err
				}
			}
		}
		if err := q.settle(ctx); err != nil {
			return err
		}
	}
	before, err := quiet(ctx, q.meter)
	if err != nil {
		return err
	}
	const calm = 2 * time.Second
	if err := pause(ctx, calm); err != nil {
		return err
	}
	after, err := q.meter.count()
	q.rate = float64(after-before) / calm.Seconds()
	return err
}

// settle waits until less than one request for each process comes in a tenth of
// a second: who joined has found its place, and what is left are renewals.
func (q *queue) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, fmt.Errorf("who joined the queue is not done with it within 30 s"))
	defer cancel()
	before, err := q.meter.count()
	for err == nil {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		var now int
		if now, err = q.meter.count(); err == nil && now-before < processes {
			return nil
		}
		before = now
	}
	return err
}

// run, until it fails or ctx ends, takes, holds until it is told to give, and
// waits until it is told to queue up again.
func (q *queue) run(ctx context.Context, w *waiter) error {
	for {
		if err := w.take(ctx); err != nil {
			return fmt.Errorf("to take: %w", err)
		}
		w.at = time.Now()
		q.taken <- w
		if _, err := next(ctx, w.give); err != nil {
			return err
		}
		if err := w.candidate.give(ctx); err != nil {
			return fmt.Errorf("to give: %w", err)
		}
		if _, err := next(ctx, w.wait); err != nil {
			return err
		}
	}
}

// next waits for the next holder.
func (q *queue) next(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, fmt.Errorf("nobody took over within 30 s"))
	defer cancel()
	select {
	case q.holder = <-q.taken:
		return nil
	case err := <-q.failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// handOver returns how long it takes from the holder's wish to give up to the
// next one's success, and how many requests there were until all was quiet.
func (q *queue) handOver(ctx context.Context) (took, requests float64, err error) {
	before, err := quiet(ctx, q.meter)
	if err != nil {
		return 0, 0, err
	}
	last, began := q.holder, time.Now()
	last.give <- struct{}{}
	if err := q.next(ctx); err != nil {
		return 0, 0, err
	}
	if q.holder.at.Before(began) {
		return 0, 0, errors.New("it was taken before it was given up: a session was lost meanwhile")
	}
	took = ms(q.holder.at.Sub(began))
	after, err := quiet(ctx, q.meter)
	if err != nil {
		return 0, 0, err
	}
	requests = max(float64(after-before)-q.rate*time.Since(began).Seconds(), 0)
	last.wait <- struct{}{} // queues up again, for the next
	_, err = quiet(ctx, q.meter)
	return took, requests, err
}
