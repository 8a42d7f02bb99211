package overlap

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

// notification is how long two may lead without Strict where the store gave
// the office away before its time: until the holder has heard of it, on a busy
// machine.
const notification = ttl / 4

// storeFault happens to a server.
type storeFault struct {
	name string
	// leader: to the one that leads, otherwise to one that does not.
	leader bool
	do     func(t *testing.T, r *rig, victim *cluster.Node)
}

// pausedServer pauses a server for a part of the TTL.
func pausedServer(part float64) func(*testing.T, *rig, *cluster.Node) {
	return func(t *testing.T, r *rig, victim *cluster.Node) {
		if err := victim.Pause(); err != nil {
			t.Fatal(err)
		}
		pause(time.Duration(part * float64(r.system.ttl)))
		if err := victim.Resume(); err != nil {
			t.Fatal(err)
		}
	}
}

// killedServer kills a server and starts it again once every session that was
// on it alone would have expired.
func killedServer(t *testing.T, r *rig, victim *cluster.Node) {
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	pause(r.system.expiry())
	if err := victim.Launch(); err != nil {
		t.Fatal(err)
	}
}

// faultsOf are the faults of each store, and the system that has them. On etcd
// the leader is paused for longer than the TTL while another takes over, and then
// resumed: it may revoke leases that were renewed elsewhere. On Consul it is paused for longer than a server's
// timer of a session runs. On ZooKeeper a follower dies with renewals that it has
// heard and not passed on, and a leader is paused until another leads. On
// PostgreSQL the primary is paused until a standby has been promoted, and goes on
// unaware.
var faultsOf = map[string]struct {
	system system
	faults []storeFault
}{
	"etcd":      {etcdSystem, []storeFault{{"leader-paused-1.2xTTL", true, pausedServer(1.2)}}},
	"consul":    {consulSystem, []storeFault{{"leader-paused-2.5xTTL", true, pausedServer(2.5)}}},
	"zookeeper": {shortTick, []storeFault{{"follower-killed", false, killedServer}, {"leader-paused-1.2xTTL", true, pausedServer(1.2)}}},
	"postgres":  {sqlSystem, []storeFault{{"leader-paused-1.2xTTL", true, pausedServer(1.2)}}},
}

// TestStoreFaults disturbs the servers.
func TestStoreFaults(t *testing.T) {
	harness.EachStore(t, func(t *testing.T, store harness.Store) {
		c, ok := faultsOf[store.Name]
		if !ok {
			t.Fatalf("there are no faults of %s", store.Name)
		}
		runStoreFaults(t, c.system, c.faults)
	})
}

// runStoreFaults runs each fault some rounds. In each round there are four
// contests, with and without Strict, and the first candidate through the
// server that fails alone or through all.
func runStoreFaults(t *testing.T, s system, faults []storeFault) {
	r := startRig(t, s)
	var longest, outlived time.Duration
	for round := range rounds(t) {
		for _, f := range faults {
			t.Run(fmt.Sprintf("%s/round-%d", f.name, round+1), func(t *testing.T) {
				overlap, alive := runStoreFault(t, r, f, fmt.Sprintf("%s-%d", f.name, round))
				longest, outlived = max(longest, overlap), max(outlived, alive)
			})
		}
	}
	t.Logf("longest overlap without Strict %v, longest that trust outlived the office %v", longest, outlived)
}

func runStoreFault(t *testing.T, r *rig, f storeFault, name string) (overlap, outlived time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.cluster.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	find := r.cluster.NotLeader
	if f.leader {
		find = r.cluster.Leader
	}
	victim, err := find(ctx)
	if err != nil {
		t.Fatal(err)
	}
	type match struct {
		*contest
		strict bool
		watch  *monitor
	}
	var matches []match
	for _, strict := range []bool{false, true} {
		for _, via := range [][]*cluster.Node{nil, {victim}} {
			id := fmt.Sprintf("%s-%t-%d", name, strict, len(via))
			c := r.contest(t, id, task{Strict: strict}, via...)
			matches = append(matches, match{c, strict, r.monitor(t, id)})
		}
	}
	f.do(t, r, victim)
	pause(2 * r.system.expiry()) // long enough for any expiry and succession
	if err := r.cluster.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	for _, m := range matches {
		m.await(t, 3*r.system.expiry(), "somebody leads", func(verdict) bool { return recent(m.lines(t)) })
		m.stop(t)
		lines := m.lines(t)
		v := judge(lines, false)
		allowed := notification
		if m.strict {
			allowed = 0
		}
		late := m.watch.outlived(lines)
		t.Logf("strict %t: %v; valid after the office was seen to be gone: %v", m.strict, v, late)
		if v.overlap > allowed {
			t.Errorf("strict %t: two led for %v, allowed is %v", m.strict, v.overlap, allowed)
		}
		if late > notification {
			t.Errorf("strict %t: trust outlived the office by %v", m.strict, late)
		}
		for i := 1; i < len(v.terms); i++ {
			if v.terms[i] <= v.terms[i-1] {
				t.Errorf("terms did not grow: %v", v.terms)
			}
		}
		if !m.strict {
			overlap = max(overlap, v.overlap)
		}
		outlived = max(outlived, late)
	}
	return overlap, outlived
}

// recent reports whether somebody wrote within the last second.
func recent(lines []line) bool {
	now := harness.Now()
	for _, l := range lines {
		if l.kind == "valid" && time.Duration(now-l.at) < time.Second {
			return true
		}
	}
	return false
}

// monitor watches an office from outside.
type monitor struct {
	mu   sync.Mutex
	gone map[uint64]int64 // when a term was first seen not to hold the office any more
}

func (r *rig) monitor(t *testing.T, name string) *monitor {
	t.Helper()
	store, err := r.system.Open(r.cluster.Addrs(), &backend.Options{Namespace: "overlap", TTL: r.system.ttl})
	if err != nil {
		t.Fatal(err)
	}
	e, err := election.New(store.Store, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &monitor{gone: make(map[uint64]int64)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		var last uint64
		for leader, err := range e.Observe(ctx) {
			if err != nil {
				return
			}
			m.mu.Lock()
			if last != 0 && leader.Term != last {
				m.gone[last] = harness.Now()
			}
			last = leader.Term
			m.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = store.Close()
	})
	return m
}

// outlived returns how long a tenure went on to hold itself valid after its
// office was seen to be gone.
func (m *monitor) outlived(lines []line) (late time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range lines {
		if at, ok := m.gone[l.term]; ok && l.kind == "valid" {
			late = max(late, time.Duration(l.at-at))
		}
	}
	return late
}
