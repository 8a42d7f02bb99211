package membership_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
)

// TestOutageOf300 takes the store away from 300 members, ten to a process, for
// three TTLs. No
// view loses any of them; they come back with a commit or two each within a TTL
// of the return, and in no second more than a fifth of them.
func TestOutageOf300(t *testing.T) {
	const n, each = 300, 10
	bubble(t, func(t *testing.T, server *memory.Server) {
		var all []*process
		var joined []*membership.Registration
		for i := range n {
			if i%each == 0 {
				all = append(all, start(t, server, nil))
			}
			joined = append(joined, all[i/each].join(fmt.Sprintf("m%03d", i)))
		}
		time.Sleep(ttl)
		watching := all[:5]
		var seen []*views
		for _, p := range watching {
			vs := p.watch()
			seen = append(seen, vs)
			if list := vs.take(); len(list) != 1 || len(list[0].Members) != n {
				t.Fatalf("at the start %d views", len(list))
			}
		}
		server.SetDown(true)
		time.Sleep(3 * ttl)
		for _, p := range watching {
			if v := p.group.View(); len(v.Members) != n || !v.Stale {
				t.Errorf("during the outage the view shows %d, stale %t", len(v.Members), v.Stale)
			}
		}
		commits := func() (made []uint64) {
			for _, p := range all {
				made = append(made, p.faults.Calls(faults.Commit))
			}
			return made
		}
		before := commits()
		server.SetDown(false)
		at := server.Stats().Commits
		var seconds []uint64
		for range ttl / time.Second {
			time.Sleep(time.Second)
			synctest.Wait()
			now := server.Stats().Commits
			seconds = append(seconds, now-at)
			at = now
		}
		t.Logf("commits in each second after the return: %d", seconds)
		for i, c := range seconds {
			if c > n/5 {
				t.Errorf("%d commits in second %d", c, i+1)
			}
		}
		after := commits()
		for i := range all {
			if d := after[i] - before[i]; d < each || d > 2*each {
				t.Errorf("the %d members of process %d made %d commits within a TTL of the return", each, i, d)
			}
		}
		synctest.Wait()
		if got := keys(server); len(got) < n {
			t.Errorf("a TTL after the return %d entries are there", len(got))
		}
		for _, r := range joined {
			if s, err := r.Entry(t.Context()); err != nil || !s.Session.Valid() {
				t.Errorf("%s: %+v, %v", r.ID(), s, err)
			}
		}
		time.Sleep(3 * ttl)
		if got := keys(server); len(got) != n {
			t.Errorf("in the end %d entries are there", len(got))
		}
		for i, vs := range seen {
			for _, v := range vs.take() {
				if !v.Change.IsZero() || len(v.Members) != n {
					t.Errorf("watch %d: %d members, +%d -%d r%d u%d", i, len(v.Members), len(v.Change.Added), len(v.Change.Removed), len(v.Change.Restarted), len(v.Change.Updated))
				}
			}
		}
	})
}

// TestBurstOfJoins: a thousand joins within a second reach a watcher as a few
// views, and cost it no call.
func TestBurstOfJoins(t *testing.T) {
	const n = 1000
	bubble(t, func(t *testing.T, server *memory.Server) {
		o := start(t, server, nil)
		o.synced()
		time.Sleep(time.Second)
		seen := o.watch()
		seen.take()
		before := o.driver.Stats()
		joiner := start(t, server, nil)
		if _, err := joiner.store.Session(t.Context()); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Second / n)
				_, err := joiner.group.Join(t.Context(), membership.Member{ID: fmt.Sprintf("m%04d", i)})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second / 2)
		list := seen.take()
		added := 0
		for _, v := range list {
			added += len(v.Change.Added)
		}
		if len(list) > 7 || added != n || len(list[len(list)-1].Members) != n {
			t.Errorf("%d views showed %d members come", len(list), added)
		}
		if after := o.driver.Stats(); after.Reads+after.Commits+after.Watches != before.Reads+before.Commits+before.Watches {
			t.Errorf("the watcher's calls were %+v before and %+v after", before, after)
		}
	})
}

// TestCommitsOfAMember counts what a member costs the store, and what a group at
// rest does.
func TestCommitsOfAMember(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b := start(t, server, nil), start(t, server, nil)
		b.join("b")
		time.Sleep(time.Second)
		stats := func() (reads, commits uint64) { s := a.driver.Stats(); return s.Reads, s.Commits }
		step := func(what string, reads, commits uint64, do func()) {
			t.Helper()
			r0, c0 := stats()
			do()
			time.Sleep(time.Second)
			if r, c := stats(); r-r0 > reads || c-c0 != commits {
				t.Errorf("%s took %d reads and %d commits, want %d at most and %d", what, r-r0, c-c0, reads, commits)
			}
		}
		var r *membership.Registration
		step("a join", 1, 1, func() { r = a.join("a") })
		step("an update", 3, 1, func() {
			if err := r.Update(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
		step("an hour of rest", 0, 0, func() { time.Sleep(time.Hour) })
		step("a Leave", 1, 1, func() {
			if err := r.Leave(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestMarksOfMany: what left is cleared up, whoever left last.
func TestMarksOfMany(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b := start(t, server, nil), start(t, server, nil)
		for i := range 100 {
			r := a.join(fmt.Sprint("m", i))
			if err := r.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour) // nobody is there to clear up
		if n := len(keys(server)); n != 100 {
			t.Errorf("%d marks", n)
		}
		before := b.driver.Stats().Commits + a.driver.Stats().Commits
		b.join("b")
		a.join("a")
		time.Sleep(5 * time.Minute)
		wantKeys(t, "after somebody joined", server, "a", "b")
		if n := b.driver.Stats().Commits + a.driver.Stats().Commits - before; n > 110 {
			t.Errorf("clearing up 100 marks took %d commits", n)
		}
	})
}

// mayNotDelete is a driver of a process that may not delete marks.
type mayNotDelete struct {
	driver.Driver
	refused atomic.Int64
}

func (d *mayNotDelete) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if op := txn.Ops[0]; op.Kind == driver.OpDelete && strings.HasSuffix(op.Key, "~left") {
		d.refused.Add(1)
		return driver.Result{}, driver.ErrDenied
	}
	return d.Driver.Commit(ctx, txn)
}

// Catches: marks whose deletion is refused, and tried again each second for
// ever.
func TestMarksThatMayNotBeDeleted(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		d := &mayNotDelete{Driver: memory.NewDriver(server)}
		store, err := backend.New(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		g, err := membership.New(store, "g", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"gone", "here"} {
			r, err := g.Join(t.Context(), membership.Member{ID: id})
			if err != nil {
				t.Fatal(err)
			}
			if id == "gone" {
				if err := r.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Hour)
		if n := d.refused.Load(); n < 2 || n > 60 {
			t.Errorf("a mark that may not be deleted was tried %d times in an hour", n)
		}
	})
}

// A watcher is not told of an entry's Put that changes nothing that users see.
func TestNoNewsIsNoView(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a := start(t, server, nil)
		a.join("a")
		time.Sleep(time.Second)
		seen := a.watch()
		seen.take()
		if _, err := a.store.Commit(context.Background(), driver.Txn{Ops: []driver.Op{driver.Create("membership/g/members/x~N", []byte("?"))}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if list := seen.take(); len(list) != 0 {
			t.Errorf("%d views", len(list))
		}
		if !strings.Contains(a.group.Name(), "g") {
			t.Error("Name is wrong")
		}
	})
}
