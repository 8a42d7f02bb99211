// Package counting has processes count together on real clusters while their
// networks fail, and checks the histories.
package counting

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/integration/judge"
)

const (
	processes = 8
	callers   = 4 // of each process
)

// plains make, for each store, what many services do by themselves: an increment
// that gets the key and sets it if it is unchanged.
var plains = map[string]func(t testing.TB, addrs []string, key string) (once func(context.Context) error, value func(context.Context) (int64, error)){
	"etcd":      plainEtcd,
	"consul":    plainConsul,
	"zookeeper": plainZooKeeper,
	"postgres":  plainPostgres,
}

// rig is a cluster and the processes that count on it.
type rig struct {
	store   harness.Store
	cluster *cluster.Cluster
}

// network is a process's own way to the cluster, which fails as its fault says
// until the run ends.
func (r *rig) network(t testing.TB) *cluster.Proxies {
	t.Helper()
	proxies, err := cluster.NewProxies(r.cluster)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxies.Close)
	return proxies
}

// fault is what happens to the network of each process.
type fault struct {
	name string
	// patience of a caller, and of one that is impatient, as one of each
	// process is.
	patience, impatient time.Duration
	// doubts bounds the adds in doubt, zero if nothing does.
	doubts  int64
	disturb func(ctx context.Context, net *cluster.Proxies)
}

var faults = []fault{
	{"reset-every-300ms", time.Minute, time.Minute, 0, resets},
	{"cut-before-the-reply", time.Minute, time.Minute, 0, cutReplies},
	{"landing-late", time.Minute, 300 * time.Millisecond, 0, late},
	{"landing-late-a-dozen", time.Minute, 300 * time.Millisecond, 12, late},
}

func resets(ctx context.Context, net *cluster.Proxies) {
	for wait(ctx, 300*time.Millisecond) {
		net.ResetAll()
	}
}

// cutReplies takes one time in five, ten times a second, to reset the
// connections after a request was forwarded and before its reply is.
func cutReplies(ctx context.Context, net *cluster.Proxies) {
	for wait(ctx, 100*time.Millisecond) {
		if rand.IntN(5) > 0 {
			continue
		}
		net.HoldReplies()
		bound, cancel := context.WithTimeout(ctx, time.Second)
		_ = net.Await(bound, func(s cluster.Stats) bool { return s.HeldReplies > 0 })
		cancel()
		net.ResetAll()
		net.ReleaseReplies()
	}
}

// late lets what is sent in every other second arrive up to two seconds later.
func late(ctx context.Context, net *cluster.Proxies) {
	for wait(ctx, rand.N(1500*time.Millisecond)) {
		net.Delay(500*time.Millisecond, 1500*time.Millisecond)
		if !wait(ctx, time.Second) {
			return
		}
		net.Delay(0, 0)
	}
}

// wait waits for d, and reports whether ctx is still on.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// How long a run takes: both a time and a number of acknowledged adds, the
// latter within patience. The plain loop, which is only for show, need not add
// as many.
const (
	runTime   = 3 * time.Second
	runAdds   = 100
	plainAdds = 10
	patience  = 2 * time.Minute
)

// disturbed runs the callers of all processes while their networks fail, until
// that has been long enough, and returns once all have ended and the networks
// are whole again.
func disturbed(t testing.TB, f fault, nets []*cluster.Proxies, acknowledged *atomic.Int64, enough int64, caller func(ctx context.Context, process, number int)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var networks, wg sync.WaitGroup
	networks.Go(func() {
		start := time.Now()
		for wait(ctx, 10*time.Millisecond) {
			if time.Since(start) >= runTime && acknowledged.Load() >= enough {
				cancel()
			}
		}
	})
	for process, net := range nets {
		networks.Go(func() { f.disturb(ctx, net); net.Pass() })
		for number := range callers {
			wg.Go(func() { caller(ctx, process, number) })
		}
	}
	networks.Wait()
	wg.Wait()
}

// ours has the processes count with Counters and returns the history and the
// final value.
func (r *rig) ours(t *testing.T, f fault) ([]judge.Call, int64) {
	t.Helper()
	var nets []*cluster.Proxies
	var counters []*counter.Counter
	for i := range processes {
		net := r.network(t)
		addrs := net.Addrs()
		way := i % len(addrs) // of Consul a client knows one server
		store, err := r.store.Open(slices.Concat(addrs[way:], addrs[:way]), &backend.Options{Namespace: "counting", CallTimeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		c, err := counter.New(store.Store, f.name, nil)
		if err != nil {
			t.Fatal(err)
		}
		nets, counters = append(nets, net), append(counters, c)
	}
	var mu sync.Mutex
	var history []judge.Call
	var doubts atomic.Int64 // that may still be
	doubts.Store(f.doubts)
	start := time.Now()
	var acknowledged atomic.Int64
	disturbed(t, f, nets, &acknowledged, runAdds, func(ctx context.Context, process, number int) {
		for ctx.Err() == nil {
			patience := f.patience
			if number == 0 && (f.doubts == 0 || doubts.Add(-1) >= 0) {
				patience = f.impatient
			}
			c := judge.Call{Process: process, Delta: judge.SomeDelta()}
			bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			c.Begin = int64(time.Since(start))
			result, err := counters[process].Add(bound, c.Delta)
			c.End = int64(time.Since(start))
			cancel()
			c.Result, c.Doubt, c.Never = result, errors.Is(err, backend.ErrIndeterminate), err != nil
			if patience == f.impatient && f.doubts > 0 && !c.Doubt {
				doubts.Add(1)
			}
			switch {
			case err == nil:
				acknowledged.Add(1)
			case !errors.Is(err, context.DeadlineExceeded):
				t.Errorf("Add: %v", err)
			}
			mu.Lock()
			history = append(history, c)
			mu.Unlock()
			// So that a history is long in time, not in calls.
			wait(ctx, rand.N(20*time.Millisecond))
		}
	})
	// Until what is still under way has landed.
	settle(t, f)
	value, err := counters[0].Value(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return history, value
}

// settle waits as long as requests may still be under way.
func settle(t testing.TB, f fault) {
	if f.impatient < f.patience {
		wait(t.Context(), 2500*time.Millisecond)
	}
}

// plain has the processes count with a plain loop that tries again on every
// error, and returns how many increments were acknowledged and the final value.
func (r *rig) plain(t *testing.T, f fault) (acknowledged, final int64) {
	t.Helper()
	var nets []*cluster.Proxies
	var increments []func(context.Context) error
	var value func(context.Context) (int64, error)
	for range processes {
		net := r.network(t)
		once, v := plains[r.store.Name](t, net.Addrs(), "plain/"+f.name)
		nets, increments, value = append(nets, net), append(increments, once), v
	}
	var n atomic.Int64
	disturbed(t, f, nets, &n, plainAdds, func(ctx context.Context, process, _ int) {
		for ctx.Err() == nil {
			for {
				bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				err := increments[process](bound)
				cancel()
				if err == nil {
					break
				}
			}
			n.Add(1)
			wait(ctx, rand.N(20*time.Millisecond))
		}
	})
	settle(t, f)
	final, err := value(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n.Load(), final
}

var errRefused = errors.New("refused: somebody was faster")

// TestCounting runs on each store.
func TestCounting(t *testing.T) { harness.EachStore(t, run) }

// run has a cluster count under every fault, ours and the plain loop side by
// side.
func run(t *testing.T, store harness.Store) {
	r := &rig{store, store.Cluster(t)}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Run("ours", func(t *testing.T) {
				t.Parallel()
				r.runOurs(t, f)
			})
			if f.doubts > 0 {
				return
			}
			t.Run("plain", func(t *testing.T) {
				t.Parallel()
				acknowledged, final := r.plain(t, f)
				t.Logf("plain: %d acknowledged, the value is %d: %s", acknowledged, final, wrongBy(final-acknowledged))
				if final < acknowledged {
					t.Error("the plain loop lost some: is the harness wrong?")
				}
			})
		})
	}
}

func (r *rig) runOurs(t *testing.T, f fault) {
	history, final := r.ours(t, f)
	v := judge.Adds(history, 0, final)
	t.Logf("ours:  %v", v)
	if v.Wrong() {
		t.Errorf("the history is wrong: %s", v.First)
	}
	if v.Acknowledged < runAdds {
		t.Errorf("only %d adds were acknowledged in %v", v.Acknowledged, patience)
	}
	switch {
	case v.InDoubt <= 12:
		linearizable(t, history, final)
	case f.doubts > 0:
		t.Errorf("%d adds are in doubt, at most %d were to be", v.InDoubt, f.doubts)
	}
}

func wrongBy(n int64) string {
	if n == 0 {
		return "right, by luck"
	}
	return fmt.Sprintf("%d counted twice", n)
}
