package counter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
)

// crowd is a number of processes that add, all at once, to one counter on a
// store that takes time.
type crowd struct {
	processes, callers int
	think              time.Duration // the mean pause of a caller between two calls
	commit, read       time.Duration
	readAfter          bool // a refusal is followed by a read: not on etcd

	span   time.Duration
	began  time.Time
	server chan struct{} // whoever is served has it

	mu     sync.Mutex
	random *rand.Rand

	// The result.
	applied, refused, reads int
	shares                  []int // by process, ascending
	longest                 time.Duration
}

// slow is a driver that takes time. The server serves one request at a time, in
// a tenth of the time of a commit.
type slow struct {
	driver.Driver
	crowd *crowd
}

func (c *crowd) pass(d time.Duration) {
	c.mu.Lock()
	d = time.Duration(float64(d) * (0.8 + 0.4*c.random.Float64()))
	c.mu.Unlock()
	time.Sleep(d)
}

func (c *crowd) serve() {
	c.server <- struct{}{}
	time.Sleep(c.commit / 10)
	<-c.server
}

func (c *crowd) count(n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.began) < c.span {
		*n++
	}
}

func (s slow) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	c := s.crowd
	c.pass(c.commit * 6 / 10)
	c.serve()
	result, err := s.Driver.Commit(ctx, txn)
	c.pass(c.commit * 3 / 10)
	switch {
	case err != nil || result.Applied:
		c.count(&c.applied)
		return result, err
	case !c.readAfter:
		c.count(&c.refused)
		return result, nil
	}
	c.count(&c.refused)
	read, err := s.Read(ctx, driver.Key(txn.Ops[0].Key))
	if err != nil {
		return driver.Result{}, nil
	}
	result.Current = make(map[string]driver.Entry)
	for _, e := range read[0] {
		result.Current[e.Key] = e
	}
	return result, nil
}

func (s slow) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	c := s.crowd
	c.count(&c.reads)
	c.pass(c.read / 2)
	c.serve()
	defer c.pass(c.read / 2)
	return s.Driver.Read(ctx, targets...)
}

// run has the crowd add for its span, and checks that nothing is lost.
func (c *crowd) run(t *testing.T) {
	t.Helper()
	server := memory.NewServer()
	c.server, c.random = make(chan struct{}, 1), rand.New(rand.NewPCG(1, 2))
	c.began, c.shares = time.Now(), make([]int, c.processes)
	var total int64
	var counters []*counter.Counter
	var wg sync.WaitGroup
	for i := range c.processes {
		store, err := backend.New(slow{memory.NewDriver(server), c}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		shared, err := counter.New(store, "c", nil)
		if err != nil {
			t.Fatal(err)
		}
		counters = append(counters, shared)
		for range c.callers {
			wg.Go(func() {
				for time.Since(c.began) < c.span {
					at := time.Now()
					if _, err := shared.Add(t.Context(), 1); err != nil {
						t.Error(err)
						return
					}
					c.count(&c.shares[i])
					c.mu.Lock()
					total++
					c.longest = max(c.longest, time.Since(at))
					c.mu.Unlock()
					c.pass(c.think)
				}
			})
		}
	}
	wg.Wait()
	if value, err := counters[0].Value(t.Context()); err != nil || value != total {
		t.Errorf("the value is %d, %v, after %d adds", value, err, total)
	}
	slices.Sort(c.shares)
}

// rate is how many commits were applied in the time of one.
func (c *crowd) rate() float64 { return float64(c.applied) * float64(c.commit) / float64(c.span) }

func (c *crowd) String() string {
	n := float64(max(c.applied, 1))
	return fmt.Sprintf("%.2f applied in the time of a commit, for each %.2f refused and %.2f reads; shares of %d, %d and %d; longest Add %v",
		c.rate(), float64(c.refused)/n, float64(c.reads)/n,
		c.shares[0], c.shares[c.processes/2], c.shares[c.processes-1], c.longest.Round(time.Millisecond))
}

// Processes that all add without a pause get on nearly as fast as one alone
// would, and each gets its share.
func TestContention(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []*crowd{
		{processes: 32, callers: 1, commit: 3 * ms, read: ms},
		{processes: 32, callers: 1, commit: 3 * ms, read: 2 * ms, readAfter: true},
		{processes: 8, callers: 8, commit: 3 * ms, read: 2 * ms, readAfter: true},
		{processes: 2, callers: 1, commit: 3 * ms, read: ms},
		{processes: 1, callers: 64, commit: 3 * ms, read: ms},
	} {
		t.Run(fmt.Sprintf("%dx%d/read-after-refusal=%t", c.processes, c.callers, c.readAfter), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.span = 6 * time.Second
				c.run(t)
				t.Log(c)
				if c.rate() < 0.7 {
					t.Errorf("%.2f commits in the time of one", c.rate())
				}
				if median := c.shares[c.processes/2]; 10*c.shares[0] < median {
					t.Errorf("one process made %d increments, the median is %d", c.shares[0], median)
				}
				if c.longest > 2*time.Second {
					t.Errorf("an Add took %v", c.longest)
				}
			})
		})
	}
}

// Processes that pause between their adds do not wait for one another's turns.
func TestNoTurnsWithPauses(t *testing.T) {
	const ms = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		// 32 adds in 200 ms: half of what the store can take.
		c := &crowd{processes: 32, callers: 1, think: 200 * ms, commit: 3 * ms, read: ms, span: 6 * time.Second}
		c.run(t)
		t.Log(c)
		if c.rate() < 0.4 {
			t.Errorf("%.2f commits in the time of one", c.rate())
		}
		if c.longest > 2*time.Second {
			t.Errorf("an Add took %v", c.longest)
		}
	})
}
