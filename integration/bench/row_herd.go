package bench

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// herds has more and more candidates join one election at the same moment.
func herds(ctx context.Context, l *lab) ([]line, error) {
	var lines []line
	for _, n := range l.scale.herds {
		leads := line{what: fmt.Sprintf("%d candidates: until one leads", n), unit: milliseconds}
		leads.goal(ours, l.Name, perStore{
			"etcd": ms(longTTL + 2*time.Second), "consul": ms(2*longTTL + 2*time.Second), "zookeeper": ms(longTTL + 2*time.Second),
		})
		requests := line{what: fmt.Sprintf("%d candidates: requests of each", n)}
		requests.goal(ours, l.Name, perStore{"etcd": 20, "consul": 20, "zookeeper": 20})
		for range l.scale.storms {
			took, asked, err := herd(ctx, l, n)
			l.clear()
			if err != nil {
				return lines, fmt.Errorf("%d candidates: %w", n, err)
			}
			leads.ours, requests.ours = append(leads.ours, took), append(requests.ours, asked)
		}
		lines = append(lines, leads, requests)
	}
	return lines, nil
}

// herd returns how long it takes until one of n candidates leads, and how many
// requests each has made when the others wait.
func herd(ctx context.Context, l *lab, n int) (took, requests float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	proxies, m, err := l.counted()
	if err != nil {
		return 0, 0, err
	}
	name := l.name()
	candidates := make([]candidate, n)
	for p := range min(processes, n) {
		store, err := l.open(turned(proxies.Addrs(), p), longTTL)
		if err == nil {
			_, err = store.Session(ctx)
		}
		if err != nil {
			return 0, 0, err
		}
		for i := p; i < n; i += processes {
			if candidates[i], err = newOurs(store, name); err != nil {
				return 0, 0, err
			}
		}
	}
	before, err := quiet(ctx, m)
	if err != nil {
		return 0, 0, err
	}
	first, began := make(chan error, n), time.Now()
	for _, c := range candidates {
		waiting.Go(func() { first <- c.take(ctx) })
	}
	failure, err := next(ctx, first)
	if err == nil {
		err = failure
	}
	if err != nil {
		return 0, 0, err
	}
	took = ms(time.Since(began))
	q := queue{meter: m}
	if err := q.settle(ctx); err != nil {
		return 0, 0, err
	}
	after, err := quiet(ctx, m)
	return took, float64(after-before) / float64(n), err
}
