// Package overlap measures, with real processes on real clusters, whether two
// ever lead at once.
package overlap

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

// system is a store under test.
type system struct {
	harness.Store
	name string // of the system: there are two ticks of ZooKeeper
	ttl  time.Duration
	tick time.Duration // ZooKeeper's
}

// expiry is the longest that the store keeps a session that is not renewed.
func (s system) expiry() time.Duration { return s.Expiry(s.ttl) }

// ttl is that of the candidates' sessions.
const ttl = 4 * time.Second

// The systems of each store. On ZooKeeper the TTL is two ticks of the servers'
// default and eight of the shorter one.
var (
	etcdSystem   = system{Store: harness.Stores["etcd"], name: "etcd", ttl: ttl}
	consulSystem = system{Store: harness.Stores["consul"], name: "consul", ttl: ttl}
	shortTick    = zooKeeperSystem(harness.Tick)
	defaultTick  = zooKeeperSystem(2 * time.Second)
	sqlSystem    = system{Store: harness.Stores["postgres"], name: "postgres", ttl: ttl}

	systems = map[string][]system{
		"etcd": {etcdSystem}, "consul": {consulSystem}, "zookeeper": {shortTick, defaultTick}, "postgres": {sqlSystem},
	}
)

func zooKeeperSystem(tick time.Duration) system {
	return system{Store: harness.ZooKeeper(tick), name: fmt.Sprintf("zookeeper-tick-%v", tick), ttl: ttl, tick: tick}
}

// eachSystem runs a test for each system of each store, side by side.
func eachSystem(t *testing.T, test func(t *testing.T, s system)) {
	t.Helper()
	harness.EachStore(t, func(t *testing.T, store harness.Store) {
		ran := false
		for _, s := range systems[store.Name] {
			t.Run(s.name, func(t *testing.T) {
				ran = true // before Run returns
				t.Parallel()
				test(t, s)
			})
		}
		if !ran {
			t.Fatalf("it ran on no system of %s", store.Name)
		}
	})
}

func TestMain(m *testing.M) { harness.Main(m, runCandidate) }

// rounds is how many rounds of each fault to run.
func rounds(t testing.TB) int { return harness.Number(t, "QUORATE_ROUNDS", 1) }

// rig is a cluster with candidates in processes of their own.
type rig struct {
	system  system
	cluster *cluster.Cluster
}

func startRig(t *testing.T, s system) *rig {
	t.Helper()
	return &rig{system: s, cluster: s.Cluster(t)}
}

// contest is two candidates, of which the first leads.
type contest struct {
	rig   *rig
	both  [2]*candidate
	dir   string
	stock bool
}

type candidate struct {
	*harness.Process
	who     int
	journal reader
	proxies *cluster.Proxies
}

// contest starts two candidates for an election of the given name. The first
// reaches only the given nodes, if any are given.
func (r *rig) contest(t *testing.T, name string, tk task, firstVia ...*cluster.Node) *contest {
	t.Helper()
	c := &contest{rig: r, dir: t.TempDir(), stock: tk.Stock}
	tk.Store, tk.TTL, tk.Tick, tk.Name = r.system.Name, r.system.ttl, r.system.tick, name
	for i := range c.both {
		c.both[i] = r.candidate(t, i, c.dir, tk, firstVia...)
		if firstVia = nil; i == 0 {
			c.await(t, 20*time.Second, "the first leads", func(v verdict) bool { return v.beats > 0 })
		}
	}
	return c
}

func (r *rig) candidate(t *testing.T, who int, dir string, tk task, via ...*cluster.Node) *candidate {
	t.Helper()
	addrs := r.cluster.Addrs()
	if len(via) > 0 {
		addrs = nil
		for _, n := range via {
			addrs = append(addrs, n.Addr())
		}
	}
	proxies, err := cluster.NewProxiesTo(addrs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxies.Close)
	c := &candidate{who: who, proxies: proxies}
	c.journal.Path = filepath.Join(dir, fmt.Sprintf("journal-%d", who))
	tk.Addrs, tk.Out = proxies.Addrs(), c.journal.Path
	if c.Process, err = harness.StartProcess(dir, strconv.Itoa(who), tk); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Kill()
		if t.Failed() {
			t.Logf("log of candidate %d:\n%s", who, c.Tail(3000))
		}
	})
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines returns what has been written so far.
func (c *contest) lines(t testing.TB) []line {
	t.Helper()
	var all []line
	for _, cand := range c.both {
		if cand != nil {
			all = append(all, cand.journal.all(t, cand.who)...)
		}
	}
	return all
}

// await waits until the journals satisfy is.
func (c *contest) await(t testing.TB, patience time.Duration, what string, is func(verdict) bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		v := judge(c.lines(t), false)
		if is(v) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s (%v)", patience, what, v)
		}
	}
}

// succeeded waits until the other candidate leads, and then a little, so that
// an old leader that goes on shows.
func (c *contest) succeeded(t testing.TB) {
	t.Helper()
	c.await(t, 3*c.rig.system.expiry()+10*time.Second, "the other leads", func(v verdict) bool { return v.tenures > 1 })
	pause(c.rig.system.ttl)
	c.both[0].proxies.HealReset()
	if !c.stock {
		c.await(t, 3*c.rig.system.expiry()+10*time.Second, "the old term's write is refused", func(v verdict) bool { return v.fenced > 0 })
	}
}

// stop ends both candidates.
func (c *contest) stop(t testing.TB) {
	t.Helper()
	for _, cand := range c.both {
		cand.proxies.HealReset()
		must(t, cand.Resume())
		if err := cand.End(15 * time.Second); err != nil {
			report := t.Errorf
			if c.stock { // such as zk.Lock, after a pause in which its session expired
				report = t.Logf
			}
			report("candidate %d: %v", cand.who, err)
		}
	}
}
