package bench

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/membership"
)

const restTTL = 5 * time.Second

// rest measures what elections in which this process waits, groups that it is
// a member of and counters that it has used cost when nothing happens.
func rest(ctx context.Context, l *lab) ([]line, error) {
	var lines []line
	for _, n := range l.scale.resting {
		requests, connections, err := requestsAtRest(ctx, l, n)
		l.clear()
		if err != nil {
			return lines, fmt.Errorf("%d at rest: %w", n, err)
		}
		line := line{what: fmt.Sprintf("%d of each: requests per TTL of %v", n, restTTL), ours: []float64{requests}}
		if len(lines) > 0 {
			// The renewals of one TTL may be one more than those of another.
			line.goals, line.why = []goal{{of: ours, limit: lines[0].ours[0] + 2}}, restWhy
		}
		lines = append(lines, line)
		if n == l.scale.resting[len(l.scale.resting)-1] {
			lines = append(lines, lineOf(fmt.Sprintf("%d of each: connections", n), plain, connections))
		}
	}
	more, err := idle(ctx, l)
	return append(lines, more...), err
}

// restWhy says what a watch costs where it is no stream.
var restWhy = why{
	"consul": "A blocking query is asked again every 10 s, with a plain read that shows whether the store was replaced. One more " +
		"query covers all watches beyond 32, which are read together, 64 to a request.",
}

func lineOf(what string, u unit, figures ...float64) line {
	return line{what: what, unit: u, ours: figures}
}

func requestsAtRest(ctx context.Context, l *lab, n int) (requests, connections float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	proxies, m, err := l.counted()
	if err != nil {
		return 0, 0, err
	}
	leading, err := l.open(l.cluster.Addrs(), restTTL)
	if err != nil {
		return 0, 0, err
	}
	store, err := l.open(proxies.Addrs(), restTTL)
	if err != nil {
		return 0, 0, err
	}
	name := l.name()
	if err := wait(ctx, &waiting, n, name, func(name string) (candidate, error) { return newOurs(leading, name) },
		func(name string) (candidate, error) { return newOurs(store, name) }); err != nil {
		return 0, 0, err
	}
	err = inParallel(n, 64, func(i int) error {
		c, err := counter.New(store.Store, fmt.Sprint(name, i), nil)
		if err == nil {
			_, err = c.Add(ctx, 1)
		}
		if err != nil {
			return err
		}
		return join(ctx, store, fmt.Sprint(name, i), "m")
	})
	if err != nil {
		return 0, 0, err
	}
	requests, err = l.perTTL(ctx, m)
	return requests, float64(proxies.Stats().Connections), err
}

// perTTL counts for so long that Consul's blocking queries, of 10 s, are asked
// again, and once more until it is not clearly less than the time before: what
// was begun, which with many takes a while, is through.
func (l *lab) perTTL(ctx context.Context, m *meter) (float64, error) {
	before, err := m.count()
	for last := math.MaxInt; err == nil; {
		if err = pause(ctx, l.scale.rest); err != nil {
			break
		}
		var after int
		after, err = m.count()
		n := after - before
		if n >= last-last/5-4 {
			return float64(n) * float64(restTTL) / float64(l.scale.rest), err
		}
		before, last = after, n
	}
	return 0, err
}

func join(ctx context.Context, store *harness.Opened, name, id string) error {
	g, err := membership.New(store.Store, name, nil)
	if err == nil {
		_, err = g.Join(ctx, membership.Member{ID: id})
	}
	return err
}

// wait has n offices taken by some and wanted by others, who wait until ctx
// ends.
func wait(ctx context.Context, waiting *sync.WaitGroup, n int, name string, first, second func(name string) (candidate, error)) error {
	return inParallel(n, 64, func(i int) error {
		name := fmt.Sprint(name, i)
		c, err := first(name)
		if err == nil {
			err = c.take(ctx)
		}
		if err != nil {
			return err
		}
		c, err = second(name)
		if err != nil {
			return err
		}
		waiting.Go(func() { _ = c.take(ctx) })
		return nil
	})
}

// idle measures goroutines and memory per election in which this process
// waits, beside the stock recipe's, and that one's requests.
func idle(ctx context.Context, l *lab) ([]line, error) {
	n := l.scale.idle
	goroutines := line{what: fmt.Sprintf("goroutines per waiting election, of %d", n)}
	memory := line{what: fmt.Sprintf("memory per waiting election, of %d", n), unit: bytesUnit}
	if l.Name != "consul" { // there the bound is that of connections
		goroutines.goals = []goal{{of: ours, limit: 2}} // the caller's is one
	}
	requests := line{what: fmt.Sprintf("requests per TTL of %v of %d waiting elections alone", restTTL, n)}
	for side := range 2 {
		for _, counted := range []bool{false, true} {
			f, err := idleSide(ctx, l, side, n, counted)
			l.clear()
			if err != nil {
				return nil, fmt.Errorf("%d waiting: %w", n, err)
			}
			into := [][3]*[]float64{
				{&goroutines.ours, &memory.ours, &requests.ours},
				{&goroutines.peer, &memory.peer, &requests.peer},
			}[side]
			if counted {
				*into[2] = []float64{f.requests}
			} else {
				*into[0] = []float64{f.goroutines}
				if f.memory > 0 { // else it is less than what the runtime gave back meanwhile
					*into[1] = []float64{f.memory}
				}
			}
		}
	}
	return []line{goroutines, memory, requests}, nil
}

type idleFigures struct{ goroutines, memory, requests float64 }

// idleSide has one process, ours or a peer's, wait for n offices. A proxy's own
// buffers would count as memory, so either requests are counted or memory is.
func idleSide(ctx context.Context, l *lab, side, n int, counted bool) (f idleFigures, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	var stocks []peer
	defer func() {
		cancel()
		for _, stock := range stocks {
			stock.close() // zk.Lock heeds no context
		}
		waiting.Wait()
	}()
	addrs := l.cluster.Addrs()
	var m *meter
	if counted {
		proxies, counts, err := l.counted()
		if err != nil {
			return f, err
		}
		addrs, m = proxies.Addrs(), counts
	}
	var enter [2]func(name string) (candidate, error)
	for i, a := range [][]string{l.cluster.Addrs(), addrs} {
		if side == 0 {
			store, err := l.open(a, restTTL)
			if err != nil {
				return f, err
			}
			enter[i] = func(name string) (candidate, error) { return newOurs(store, name) }
			continue
		}
		stock, err := l.peer(a, restTTL)
		if err != nil {
			return f, err
		}
		stocks = append(stocks, stock)
		// One process has one session, save where its recipe makes them.
		enter[i] = func(name string) (candidate, error) { return stock.candidate(name, l.Name == "consul") }
	}
	name := l.name()
	held := make([]candidate, n+1)
	err = inParallel(n+1, 64, func(i int) error {
		c, err := enter[0](fmt.Sprint(name, i))
		held[i] = c
		if err == nil {
			err = c.take(ctx)
		}
		return err
	})
	if err != nil {
		return f, err
	}
	await := func(i int) error {
		c, err := enter[1](fmt.Sprint(name, i))
		if err == nil {
			waiting.Go(func() { _ = c.take(ctx) })
		}
		return err
	}
	if err := await(n); err != nil { // what there is once
		return f, err
	}
	if err := pause(ctx, time.Second); err != nil {
		return f, err
	}
	g0, m0 := goroutinesOfUse(), memoryInUse()
	if err := inParallel(n, 64, await); err != nil {
		return f, err
	}
	if counted {
		requests, err := l.perTTL(ctx, m)
		return idleFigures{requests: requests}, err
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return f, err
	}
	f.goroutines = float64(goroutinesOfUse()-g0) / float64(n)
	f.memory = float64(memoryInUse()-m0) / float64(n)
	runtime.KeepAlive(held)
	return f, nil
}

// goroutinesOfUse counts goroutines, those of proxies excepted.
func goroutinesOfUse() int {
	count := 0
	for _, stack := range stacks() {
		if !strings.Contains(stack, "integration/cluster.") {
			count++
		}
	}
	return count
}

// stacks returns the stack of each goroutine.
func stacks() []string {
	buffer := make([]byte, 1<<20)
	for n := runtime.Stack(buffer, true); ; n = runtime.Stack(buffer, true) {
		if n < len(buffer) {
			return strings.Split(string(buffer[:n]), "\n\n")
		}
		buffer = make([]byte, 2*len(buffer))
	}
}

// memoryInUse is what the heap and the stacks hold in the end: each collection
// halves a stack of which most is not used.
func memoryInUse() int64 {
	for range 6 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
