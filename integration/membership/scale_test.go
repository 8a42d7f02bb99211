package membership

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/membership"
)

// runScale lets members join at once, fifty to a Store, and measures until a
// watcher behind a proxy sees them all; then what a single change costs that
// watcher. QUORATE_MEMBERS says how many, a hundred by default.
func runScale(t *testing.T, store harness.Store) {
	members := harness.Number(t, "QUORATE_MEMBERS", 100)
	r := startRig(t, store)
	const each = 50
	open := func(addrs []string) *membership.Group {
		s, err := store.Open(addrs, &backend.Options{Namespace: "scale", TTL: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		g, err := membership.New(s.Store, "g", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		return g
	}
	proxies, err := cluster.NewProxies(r.cluster)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxies.Close)
	watcher := open(proxies.Addrs())
	var groups []*membership.Group
	for range (members + each - 1) / each {
		groups = append(groups, open(r.cluster.Addrs()))
	}
	delivered := func() int64 { return proxies.Stats().ReplyBytes }
	views := 0
	until := func(is func(membership.View) bool) time.Time {
		for v, err := range watcher.Watch(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if views++; is(v) {
				break
			}
		}
		return time.Now()
	}
	bytes0 := delivered()
	began := time.Now()
	regs := make([]*membership.Registration, members)
	var wg sync.WaitGroup
	inFlight := make(chan struct{}, 50) // Consul takes 200 connections of one address
	for i := range members {
		wg.Go(func() {
			inFlight <- struct{}{}
			defer func() { <-inFlight }()
			reg, err := groups[i/each].Join(t.Context(), membership.Member{ID: fmt.Sprintf("m%04d", i), Addr: "10.0.0.1:8080"})
			if err != nil {
				t.Errorf("Join: %v", err)
			}
			regs[i] = reg
		})
	}
	seen := until(func(v membership.View) bool { return len(v.Members) == members })
	wg.Wait()
	if t.Failed() {
		return
	}
	bytes1 := delivered()
	t.Logf("%s: %d joins at once: seen by a watcher after %v, in %d views and %d KiB", store.Name, members, seen.Sub(began).Round(time.Millisecond), views, (bytes1-bytes0)>>10)

	const changes = 20
	bytes0 = delivered()
	var total time.Duration
	for i := range changes {
		v := strconv.Itoa(i)
		began := time.Now()
		if err := regs[i].Update(t.Context(), map[string]string{"v": v}); err != nil {
			t.Fatal(err)
		}
		total += until(func(view membership.View) bool {
			m, _ := view.Lookup(regs[i].ID())
			return m.Meta["v"] == v
		}).Sub(began)
	}
	bytes1 = delivered()
	t.Logf("%s: %d updates one by one with %d members: each seen after %v, %d bytes to the watcher per change",
		store.Name, changes, members, (total / changes).Round(time.Millisecond), (bytes1-bytes0)/changes)
}
