package membership_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
)

func TestJoinWhoseReplyWasLost(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a := start(t, server, nil)
		a.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		r := a.join("a")
		time.Sleep(time.Second)
		wantKeys(t, "after the join", server, "a")
		if n := a.faults.Calls(faults.Commit); n != 1 {
			t.Errorf("%d commits", n)
		}
		a.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		if err := r.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		wantKeys(t, "after the Leave", server, "a~left")
	})
}

// A creation that lands after it was given up leaves no second entry, nor one
// after a Leave.
func TestStrayEntriesAreSwept(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b := start(t, server, nil), start(t, server, nil)
		b.join("b")
		late := a.faults.Next(faults.Commit, faults.Fault{LandLater: 5 * time.Second})
		r := a.join("a")
		<-late.Hit()
		time.Sleep(4 * time.Second)
		wantKeys(t, "before it lands", server, "a", "b")
		time.Sleep(2 * time.Second)
		wantKeys(t, "after it landed", server, "a", "b")
		if r.Context().Err() != nil {
			t.Errorf("the membership ended: %v", context.Cause(r.Context()))
		}

		// Given up altogether.
		a.faults.Next(faults.Commit, faults.Fault{LandLater: 5 * time.Second})
		a.faults.Next(faults.Commit, faults.Fault{Refuse: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := a.group.Join(ctx, membership.Member{ID: "c"}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("Join = %v", err)
		}
		seen := b.watch()
		time.Sleep(30 * time.Second)
		wantKeys(t, "after the second landed", server, "a", "b", "c~left")
		seen.want(t, "meanwhile", "+a +b")
	})
}

// A creation that lands late is as old as its incarnation, whether that lives
// or has been superseded meanwhile.
func TestLateEntryOfTheOlder(t *testing.T) {
	for name, slow := range map[string]time.Duration{"after it was cleared up": 0, "before": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, server *memory.Server) {
				a, b := start(t, server, nil), start(t, server, nil)
				a.faults.Next(faults.Commit, faults.Fault{LandLater: 5 * time.Second})
				old := a.join("x")
				for range 2 { // to clear up, and to sweep
					a.faults.Next(faults.Commit, faults.Fault{Delay: slow})
				}
				time.Sleep(2 * time.Second)
				next := b.join("x")
				time.Sleep(10 * time.Second)
				if next.Context().Err() != nil || !errors.Is(context.Cause(old.Context()), membership.ErrSuperseded) {
					t.Errorf("the newer ended with %v, the older with %v", context.Cause(next.Context()), context.Cause(old.Context()))
				}
				b.wantIDs("in the end", "x")
			})
		})
	}
}

func TestUpdateInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b := start(t, server, nil), start(t, server, nil)
		b.join("b")
		r := a.join("a")
		meta := func(v string) map[string]string { return map[string]string{"v": v} }
		want := func(when, v string) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			if m, _ := b.group.View().Lookup("a"); m.Meta["v"] != v || m.Incarnation != r.Incarnation() {
				t.Errorf("%s it is shown as %+v, want %s", when, m, v)
			}
		}
		want("at the start", "1")
		a.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		if err := r.Update(t.Context(), meta("2")); err != nil {
			t.Error(err)
		}
		want("with a lost reply", "2")
		// The first lands after what followed it, back to what stood before.
		a.faults.Next(faults.Commit, faults.Fault{LandLater: 5 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		time.Sleep(time.Second)
		if err := r.Update(ctx, meta("3")); !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Update whose context ended = %v", err)
		}
		if err := r.Update(t.Context(), meta("2")); err != nil {
			t.Error(err)
		}
		want("before it lands", "2")
		time.Sleep(10 * time.Second)
		want("after it landed", "2")
		// While it is not registered.
		a.driver.Cut()
		done := make(chan error, 1)
		go func() { done <- r.Update(t.Context(), meta("4")) }()
		time.Sleep(2 * ttl)
		a.driver.Heal()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want("after the return", "4")
	})
}

func TestLeaveWhileTheStoreIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b := start(t, server, nil), start(t, server, nil)
		b.join("b")
		r := a.join("a")
		time.Sleep(time.Second)
		a.driver.Cut()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Leave(ctx); !errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Leave = %v", err)
		}
		time.Sleep(3 * ttl)
		a.driver.Heal()
		time.Sleep(2 * time.Second)
		wantKeys(t, "after the return", server, "a~left", "b")
		b.wantIDs("after the return", "b")
	})
}

// vanish makes members go without a word: their leases end, and they are cut
// off so that they do not come back.
func vanish(t *testing.T, all ...*process) {
	t.Helper()
	for _, p := range all {
		p.driver.Silence()
	}
	for _, e := range all[0].server.Entries() {
		for _, p := range all {
			if p.lease != "" && e.Lease == p.lease {
				p.server.Expire(e.Lease)
			}
		}
	}
}

// crowd starts processes that join, and one that looks on.
func crowd(t *testing.T, server *memory.Server, opts *membership.Options, ids ...string) (observer *process, members []*process, joined []*membership.Registration) {
	t.Helper()
	for _, id := range ids {
		p := start(t, server, nil)
		r := p.join(id)
		s, err := r.Standing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.lease = s.Session.ID()
		members, joined = append(members, p), append(joined, r)
	}
	observer = start(t, server, opts)
	observer.synced()
	time.Sleep(time.Second)
	return observer, members, joined
}

func TestSelfPreservation(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		o, all, _ := crowd(t, server, nil, "a", "b", "c", "d", "e")
		vanish(t, all[0], all[1]) // less than half
		time.Sleep(ttl/10 + gather + time.Millisecond)
		o.wantIDs("after two of five vanished", "c d e")
		vanish(t, all[2]) // and with these more
		gone := time.Now()
		time.Sleep(time.Second / 2)
		synctest.Wait()
		if v := o.group.View(); v.Held() != 1 || ids(v) != "c d e" {
			t.Errorf("%d of %q are held", v.Held(), ids(v))
		}
		seen := o.watch()
		seen.take()
		for ids(o.group.View()) != "d e" {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(gone); d < 2*ttl || d > 2*ttl+time.Second {
			t.Errorf("it was held for %v, want two TTLs", d)
		}
		seen.want(t, "in the end", "-c")
	})
}

// Who lost its entry and has another by the time that this process hears of the
// store again has vanished like those who are still missing.
func TestSelfPreservationSeenLate(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		o, all, _ := crowd(t, server, nil, "a", "b", "c", "d", "e")
		seen := o.watch()
		seen.take()
		o.driver.Cut()
		for _, p := range all {
			p.driver.Cut()
		}
		time.Sleep(2 * ttl)
		wantKeys(t, "in the outage", server)
		for _, p := range all[2:] {
			p.driver.Heal()
		}
		time.Sleep(ttl)
		wantKeys(t, "when most are back", server, "c", "d", "e")
		o.driver.Heal()
		time.Sleep(ttl)
		if v := o.group.View(); v.Held() != 2 || v.Stale {
			t.Errorf("%d are held, stale %t", v.Held(), v.Stale)
		}
		all[0].driver.Heal()
		all[1].driver.Heal()
		time.Sleep(ttl)
		wantKeys(t, "when all are back", server, "a", "b", "c", "d", "e")
		seen.want(t, "in all", "")
	})
}

func TestGracePeriod(t *testing.T) {
	for _, grace := range []time.Duration{time.Minute, -1} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			o, all, _ := crowd(t, server, &membership.Options{GracePeriod: grace}, "a", "b", "c")
			vanish(t, all[:2]...)
			gone := time.Now()
			for ids(o.group.View()) != "c" {
				time.Sleep(100 * time.Millisecond)
			}
			if d := time.Since(gone); d < grace || d > max(grace, ttl/10)+time.Second {
				t.Errorf("they were held for %v, the grace period is %v", d, grace)
			}
		})
	}
}

// A Leave is never held back, though most leave at once, close their stores in
// the next moment, and others have vanished before.
func TestLeaveIsNotHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		o, all, joined := crowd(t, server, nil, "a", "b", "c", "d", "e", "f", "g")
		for i := range 5 {
			go func() {
				if err := joined[i].Leave(t.Context()); err != nil {
					t.Error(err)
				}
				_ = all[i].store.Close()
			}()
		}
		time.Sleep(gather + time.Millisecond)
		o.wantIDs("after most left", "f g")
		vanish(t, all[5:]...)
		time.Sleep(2 * time.Second)
		o.wantIDs("after the rest vanished", "f g")
		all[5].driver.Heal() // held, and comes back to leave
		if err := joined[5].Leave(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(gather + time.Millisecond)
		o.wantIDs("after one of the held left", "g")
	})
}

// While the store is away nobody is let go, whoever was held.
func TestNobodyIsLetGoDuringAnOutage(t *testing.T) {
	for name, away := range map[string]func(*process){"down": func(p *process) { p.server.SetDown(true) }, "cut": func(p *process) { p.driver.Cut() }} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, server *memory.Server) {
				o, all, _ := crowd(t, server, nil, "a", "b", "c")
				vanish(t, all[:2]...)
				time.Sleep(time.Second)
				away(o)
				time.Sleep(10 * ttl)
				o.wantIDs("during the outage", "a b c")
				v := o.group.View()
				if !v.Stale || !v.Synced || v.Age < 9*ttl || v.Age > 11*ttl {
					t.Errorf("the view is stale %t, synced %t, aged %v", v.Stale, v.Synced, v.Age)
				}
				server.SetDown(false)
				o.driver.Heal()
				time.Sleep(4 * ttl)
				o.wantIDs("long after the outage", "c")
				if v := o.group.View(); v.Stale || v.Age > ttl/2 {
					t.Errorf("the view is stale %t, aged %v", v.Stale, v.Age)
				}
			})
		})
	}
}

func TestStale(t *testing.T) {
	for name, away := range map[string]func(*process){
		"down": func(p *process) { p.server.SetDown(true) },
		"cut":  func(p *process) { p.driver.Cut() },
		// Nothing fails, nothing comes.
		"silent": func(p *process) { p.driver.Silence() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, server *memory.Server) {
				o, _, _ := crowd(t, server, nil, "a", "b")
				seen := o.watch()
				for range 20 { // undisturbed, it never is
					time.Sleep(ttl / 3)
					if v := o.group.View(); v.Stale || v.Age > ttl/2 {
						t.Fatalf("undisturbed, the view is stale %t, aged %v", v.Stale, v.Age)
					}
				}
				if n := len(seen.take()); n != 1 {
					t.Errorf("undisturbed, %d views", n)
				}
				away(o)
				began := time.Now()
				for !o.group.View().Stale {
					time.Sleep(10 * time.Millisecond)
				}
				if d := time.Since(began); d < ttl/2 || d > ttl+time.Second {
					t.Errorf("it was stale after %v", d)
				}
				time.Sleep(ttl)
				if list := seen.take(); len(list) != 1 || !list[0].Stale || !list[0].Change.IsZero() || ids(list[0]) != "a b" {
					t.Errorf("the watch delivered %+v", list)
				}
				server.SetDown(false)
				o.driver.Heal()
				back := time.Now()
				for o.group.View().Stale {
					time.Sleep(10 * time.Millisecond)
				}
				if d := time.Since(back); d > ttl {
					t.Errorf("it was stale for %v after the return", d)
				}
				time.Sleep(ttl)
				if list := seen.take(); len(list) == 0 || list[len(list)-1].Stale {
					t.Errorf("the watch delivered %+v", list)
				}
			})
		})
	}
}

func TestWipe(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		o, _, joined := crowd(t, server, nil, "a", "b", "c", "d", "e", "f", "g", "h")
		seen := o.watch()
		seen.take()
		server.Wipe()
		time.Sleep(2 * ttl)
		wantKeys(t, "two TTLs after the wipe", server, "a", "b", "c", "d", "e", "f", "g", "h")
		seen.want(t, "meanwhile", "")
		time.Sleep(ttl)
		if v := o.group.View(); v.Held() != 0 || v.Stale {
			t.Errorf("%d are held, stale %t", v.Held(), v.Stale)
		}
		for _, r := range joined {
			if r.Context().Err() != nil {
				t.Errorf("%s ended: %v", r.ID(), context.Cause(r.Context()))
			}
		}
		// A newer incarnation is the newer one in the new history too.
		next := o.join("a")
		time.Sleep(time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(joined[0].Context()), membership.ErrSuperseded) || next.Context().Err() != nil {
			t.Errorf("old: %v, new: %v", context.Cause(joined[0].Context()), context.Cause(next.Context()))
		}
	})
}

// A restore brings back what has gone: an older entry under the same session, a
// member that has left, an incarnation that crashed.
func TestRestore(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		o, all, joined := crowd(t, server, nil, "a", "b", "c")
		backup := server.Snapshot()
		s, _ := joined[0].Standing(t.Context())
		if _, err := joined[0].Rejoin(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := joined[1].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		all[2].crash()
		again := start(t, server, nil).join("c")
		time.Sleep(2 * ttl)
		wantKeys(t, "before", server, "a", "b~left", "c")
		server.Restore(backup)
		time.Sleep(3 * ttl)
		wantKeys(t, "after the restore", server, "a", "c")
		o.wantIDs("after the restore", "a c")
		if m, _ := o.group.View().Lookup("c"); m.Incarnation != again.Incarnation() || again.Context().Err() != nil {
			t.Errorf("c is %s, want %s, whose context ended with %v", m.Incarnation, again.Incarnation(), context.Cause(again.Context()))
		}
		if joined[0].Context().Err() != nil {
			t.Errorf("a ended: %v", context.Cause(joined[0].Context()))
		}
	})
}

// One that joins between a wipe and the return of an older incarnation is the
// newer, though the older one's registration is the later.
func TestNewIncarnationBetweenWipeAndReturn(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		age(t, server)
		o, all, joined := crowd(t, server, nil, "a", "b", "c")
		all[0].driver.Cut()
		server.Wipe()
		next := start(t, server, nil).join("a")
		all[0].driver.Heal()
		time.Sleep(5 * ttl)
		synctest.Wait()
		if !errors.Is(context.Cause(joined[0].Context()), membership.ErrSuperseded) || next.Context().Err() != nil {
			t.Errorf("old: %v, new: %v", context.Cause(joined[0].Context()), context.Cause(next.Context()))
		}
		wantKeys(t, "afterwards", server, "a", "b", "c")
		o.wantIDs("afterwards", "a b c")
	})
}

// age gives the store a history, longer than any that the test goes through
// after a wipe.
func age(t *testing.T, server *memory.Server) {
	t.Helper()
	store, err := memory.Open(server, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for range 1000 {
		for _, op := range []backend.Op{driver.Create("history", nil), driver.Delete("history", backend.Version{})} {
			if _, err := store.Commit(t.Context(), backend.Txn{Ops: []backend.Op{op}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A restore that brings back a dead incarnation costs the living one nothing but
// the time until that has gone, though by the store's revisions it is the older.
func TestGhostOfAnotherHistory(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		age(t, server)
		_, all, _ := crowd(t, server, nil, "a", "b", "c")
		backup := server.Snapshot()
		server.Wipe()
		all[0].crash()
		next := start(t, server, nil).join("a")
		time.Sleep(2 * ttl)
		server.Restore(backup)
		time.Sleep(5 * ttl)
		synctest.Wait()
		if next.Context().Err() != nil {
			t.Errorf("the living one ended: %v", context.Cause(next.Context()))
		}
		if m, _ := all[1].group.View().Lookup("a"); m.Incarnation != next.Incarnation() {
			t.Errorf("it is shown as %+v", m)
		}
		wantKeys(t, "afterwards", server, "a", "b", "c")
	})
}
