package membership

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/harness"
)

// runProcesses starts five member processes. One leaves, one is killed and
// started again, one is killed for good, one is paused, and at last the whole
// store is away.
func runProcesses(t *testing.T, store harness.Store) {
	r := startRig(t, store)
	expiry := store.Expiry(ttl)
	seen := expiry + ttl/2 // a crash is
	all := []string{"a", "b", "c", "d", "e"}
	members := make(map[string]*member)
	began := time.Now()
	for _, id := range all {
		members[id] = r.start(id, "")
	}
	t.Logf("%d processes knew each other after %v", len(all), r.until(began, 20*time.Second, "all are there", shows(all...)))
	r.removed()
	want := func(when string, ids ...string) {
		t.Helper()
		if got := r.removed(); !slices.Equal(got, ids) {
			t.Errorf("%s %q were shown as removed, want %q", when, got, ids)
		}
	}

	// A Leave.
	e := members["e"]
	r.gone(e)
	began = time.Now()
	if err := e.Tell("leave"); err != nil {
		t.Fatal(err)
	}
	took := r.until(began, ttl/2, "e has left", shows("a", "b", "c", "d"))
	if t.Logf("a Leave was seen by all after %v", took); took > ttl/2 {
		t.Errorf("a Leave was seen after %v", took)
	}
	want("after the Leave", "e")

	// A crash, and the next incarnation before the store has noticed.
	d := members["d"]
	old := d.sights(t)[0].Members["d"]
	r.kill(d)
	began = time.Now()
	d = r.start("d", "")
	took = r.until(began, 2*ttl, "d is another", func(s sight) bool {
		return shows("a", "b", "c", "d")(s) && s.Members["d"] != old
	})
	t.Logf("a restart was seen by all after %v", took)
	r.until(time.Now(), seen, "the old entry is gone", shows("a", "b", "c", "d"))
	pause(seen)
	want("after the restart")

	// A crash for good.
	r.kill(d)
	began = time.Now()
	took = r.until(began, seen, "d is gone", shows("a", "b", "c"))
	if t.Logf("a crash was seen by all after %v, the TTL is %v", took, ttl); took > seen {
		t.Errorf("a crash was seen after %v, want %v at most", took, seen)
	}
	want("after the crash", "d")

	// A pause beyond the TTL, and back as the same incarnation.
	c := members["c"]
	same := c.sights(t)[len(c.sights(t))-1].Members["c"]
	r.gone(c)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	t.Logf("a pause was seen by all after %v", r.until(began, seen, "c is gone", shows("a", "b")))
	want("in the pause", "c")
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	took = r.until(began, 2*ttl, "c is back", func(s sight) bool { return shows("a", "b", "c")(s) && s.Members["c"] == same })
	t.Logf("its end was seen by all after %v", took)

	r.outage(want)
}

// outage takes the whole store away for three TTLs. A process is restarted
// meanwhile, and knows the others from its snapshot.
func (r *rig) outage(want func(string, ...string)) {
	r.t.Helper()
	snapshot := filepath.Join(r.t.TempDir(), "peers")
	f := r.start("f", snapshot)
	began := time.Now()
	r.until(began, 10*time.Second, "f is there", shows("a", "b", "c", "f"))
	pause(2 * time.Second) // the snapshot is written within a second
	r.removed()
	if err := r.cluster.KillAll(); err != nil {
		r.t.Fatal(err)
	}
	began = time.Now()
	r.kill(f)
	f = r.start("f", snapshot)
	r.gone(f)
	others := r.members
	r.members = []*member{f}
	r.t.Logf("restarted in the outage it knew the others after %v", r.until(began, ttl/2, "f knows them", func(s sight) bool {
		return shows("a", "b", "c", "f")(s) && s.Stale && !s.Synced
	}))
	r.members = append(others, f)
	r.t.Logf("all were stale after %v", r.until(began, 2*ttl, "all are stale", func(s sight) bool { return s.Stale }))
	pause(time.Until(began.Add(3 * ttl)))
	ctx := r.t.Context()
	if err := r.cluster.StartAll(ctx); err != nil {
		r.t.Fatal(err)
	}
	began = time.Now()
	took := r.until(began, 4*ttl, "all are current", func(s sight) bool {
		return shows("a", "b", "c", "f")(s) && !s.Stale && s.Synced && s.Held == 0
	})
	r.t.Logf("all were current %v after the return", took)
	pause(2*r.store.Expiry(ttl) + 2*time.Second) // whatever is left of before expires
	r.until(time.Now(), ttl, "all are still", func(s sight) bool {
		return shows("a", "b", "c", "f")(s) && !s.Stale && s.Held == 0
	})
	want("in the outage and after it")
}

// pause lets time pass in which nothing should happen.
func pause(d time.Duration) { <-time.After(d) }
