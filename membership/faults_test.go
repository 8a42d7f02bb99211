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
		s, _ := joined[0].Entry(t.Context())
		if _, err := s.Replace(t.Context()); err != nil {
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
