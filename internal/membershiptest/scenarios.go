package membershiptest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/membership"
)

func joinUpdateLeave(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	seen := q.record(t)
	r := p.join(t, "a")
	v := q.until(t, time.Second, "shows a", func(v membership.View) bool { return ids(v) == "a" })
	if m := v.Members[0]; m.Addr != "addr-a" || m.Incarnation != r.Incarnation() || m.TTL < env.TTL {
		t.Errorf("it is shown as %+v", m)
	}
	if err := r.Update(t.Context(), map[string]string{"v": "2"}); err != nil {
		t.Fatal(err)
	}
	q.until(t, time.Second, "shows the update", func(v membership.View) bool { return v.Members[0].Meta["v"] == "2" })
	began := time.Now()
	if err := r.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	q.shows(t, 0, "")
	t.Logf("a Leave was seen after %v", time.Since(began).Round(time.Millisecond))
	rest(300 * time.Millisecond)
	seen.want(t, "in all", "+a ua -a")
}

// crashAndRestart: a process that crashes is gone after its TTL; one that is
// back before that was never gone.
func crashAndRestart(t *testing.T, env *drivertest.Env) {
	all, joined := crowd(t, env, 4)
	seen := all[0].record(t)
	env.Silence(t, all[3].driver)
	defer env.Heal(t, all[3].driver)
	again := open(t, env)
	r := again.join(t, "m3")
	all[0].until(t, time.Second, "shows the new incarnation", func(v membership.View) bool {
		m, _ := v.Lookup("m3")
		return m.Incarnation == r.Incarnation()
	})
	all[0].entries(t, env.Expiry, numbered(4)) // the old one's is gone
	rest(env.TTL/10 + 500*time.Millisecond)
	seen.want(t, "after the restart", "rm3")
	env.Heal(t, all[3].driver)
	within(t, 4*env.TTL, "the older hears of it", joined[3].Context().Done())
	if cause := context.Cause(joined[3].Context()); !errors.Is(cause, membership.ErrSuperseded) {
		t.Errorf("the older one ended with %v", cause)
	}
	seen.want(t, "when the older one is back", "")

	env.Silence(t, again.driver)
	defer env.Heal(t, again.driver)
	began := time.Now()
	all[0].shows(t, env.Expiry+env.TTL/10, numbered(3))
	t.Logf("a crash was seen after %v, the TTL is %v", time.Since(began).Round(time.Millisecond), env.TTL)
	seen.want(t, "after the crash", "-m3")
}

func newerWins(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	old := p.join(t, "x")
	next := q.join(t, "x")
	within(t, time.Second, "the older ends", old.Context().Done())
	if cause := context.Cause(old.Context()); !errors.Is(cause, membership.ErrSuperseded) {
		t.Errorf("the older one ended with %v", cause)
	}
	q.entries(t, time.Second, "x")
	// Its first entry is the older one's still, when it registers anew.
	env.Expire(t, q.leases.last())
	rest(env.TTL)
	if next.Context().Err() != nil {
		t.Errorf("the newer one ended: %v", context.Cause(next.Context()))
	}
	p.shows(t, env.TTL, "x")
}

// mostLeave: leaving is never taken for vanishing, though the Stores are closed
// in the next moment.
func mostLeave(t *testing.T, env *drivertest.Env) {
	all, joined := crowd(t, env, 5)
	for i := range 4 {
		go func() {
			if err := joined[i+1].Leave(t.Context()); err != nil {
				t.Errorf("Leave: %v", err)
			}
			_ = all[i+1].store.Close()
		}()
	}
	all[0].shows(t, 0, "m0")
}

// mostVanish: when most vanish they are held; who comes back is not gone.
func mostVanish(t *testing.T, env *drivertest.Env) {
	all, _ := crowd(t, env, 5)
	seen := all[0].record(t)
	for _, p := range all[2:] {
		env.Silence(t, p.driver)
		t.Cleanup(func() { env.Heal(t, p.driver) })
	}
	for _, p := range all[2:] {
		env.Expire(t, p.leases.last())
	}
	all[0].until(t, time.Second, "holds three", func(v membership.View) bool { return v.Held() == 3 })
	rest(env.TTL/10 + 500*time.Millisecond)
	seen.want(t, "while they are held", "")
	env.Heal(t, all[2].driver)
	all[0].until(t, 2*env.TTL, "holds two", func(v membership.View) bool { return v.Held() == 2 })
	all[0].shows(t, 3*env.TTL, "m0 m1 m2")
	seen.want(t, "in the end", "-m3 -m4")
}

// cutAndHealed: connections that break and can be made again cost nothing.
func cutAndHealed(t *testing.T, env *drivertest.Env) {
	all, joined := crowd(t, env, 2)
	seen := all[0].record(t)
	for range 3 {
		for _, p := range all {
			env.Cut(t, p.driver)
		}
		for _, p := range all {
			env.Heal(t, p.driver)
		}
		s, err := joined[1].Entry(t.Context())
		if err != nil || !s.Session.Valid() {
			t.Errorf("Entry = %+v, %v", s, err)
		}
	}
	if err := joined[1].Update(t.Context(), map[string]string{"v": "2"}); err != nil {
		t.Error(err)
	}
	all[0].until(t, 2*time.Second, "shows the update", func(v membership.View) bool {
		m, _ := v.Lookup("m1")
		return m.Meta["v"] == "2"
	})
	seen.want(t, "in all", "um1")
}

// outage: the store cannot be reached by anybody for three TTLs. Where it goes
// on by itself meanwhile, entries expire, and the members have vanished when it
// is back: they are held until they have registered again.
func outage(t *testing.T, env *drivertest.Env) {
	all, joined := crowd(t, env, 5)
	seen := all[0].record(t)
	for _, p := range all {
		env.Cut(t, p.driver)
	}
	all[0].until(t, 2*env.TTL, "is stale", func(v membership.View) bool { return v.Stale })
	rest(2 * env.TTL)
	if v := all[0].View(); ids(v) != numbered(5) || !v.Stale || v.Age < 2*env.TTL {
		t.Errorf("in the outage the view shows %q, stale %t, aged %v", ids(v), v.Stale, v.Age)
	}
	for _, p := range all {
		env.Heal(t, p.driver)
	}
	all[0].until(t, 2*env.TTL, "is current, with nobody held", func(v membership.View) bool { return !v.Stale && v.Held() == 0 })
	for _, r := range joined {
		ctx, cancel := context.WithTimeout(t.Context(), 2*env.TTL)
		if s, err := r.Entry(ctx); err != nil || !s.Session.Valid() {
			t.Errorf("%s: %+v, %v", r.ID(), s, err)
		}
		cancel()
	}
	all[0].entries(t, env.Expiry, numbered(5))
	rest(env.TTL)
	seen.want(t, "in all", "")
}

func leaseEnded(t *testing.T, env *drivertest.Env) {
	all, joined := crowd(t, env, 4)
	s, err := joined[1].Entry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	env.Expire(t, all[1].leases.last())
	within(t, env.TTL, "the entry ends", s.Context().Done())
	ctx, cancel := context.WithTimeout(t.Context(), env.TTL+slack)
	defer cancel()
	next, err := joined[1].Entry(ctx)
	if err != nil || next.Registration == s.Registration || next.Session == s.Session {
		t.Errorf("Entry = %+v, %v", next, err)
	}
	all[0].until(t, env.TTL, "shows the new registration", func(v membership.View) bool {
		m, _ := v.Lookup("m1")
		return m.Registration == next.Registration && m.Incarnation == joined[1].Incarnation()
	})
	all[0].entries(t, env.Expiry, numbered(4))
}

func entryDeleted(t *testing.T, env *drivertest.Env) {
	all, joined := crowd(t, env, 4)
	seen := all[0].record(t)
	s, err := joined[1].Entry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	deleteKey(t, all[0].store, "membership/g/members/"+s.Registration)
	within(t, time.Second, "the entry ends", s.Context().Done())
	all[0].until(t, time.Second, "shows the new registration", func(v membership.View) bool {
		m, _ := v.Lookup("m1")
		return m.Registration != s.Registration && !m.Held
	})
	all[0].entries(t, time.Second, numbered(4))
	seen.want(t, "in all", "")
}

// lostReply: the create is applied, its reply and that of the clean-up never
// come, and the caller gives up.
func lostReply(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	if _, err := q.store.Session(t.Context()); err != nil {
		t.Fatal(err)
	}
	env.Mute(t, q.driver)
	ctx, cancel := context.WithTimeout(t.Context(), env.TTL/8)
	defer cancel()
	if _, err := q.Join(ctx, membership.Member{ID: "x"}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("Join = %v", err)
	}
	env.Heal(t, q.driver)
	p.entries(t, env.Expiry, "")
	q.join(t, "x")
	p.shows(t, time.Second, "x")
	p.entries(t, env.Expiry, "x")
}

func wiped(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	if err := p.WaitSynced(t.Context()); err != nil {
		t.Fatal(err)
	}
	restore := env.Snapshot(t) // of an empty store
	all, joined := crowd(t, env, 4)
	seen := all[0].record(t)
	restore()
	began := time.Now()
	all[0].entries(t, 2*env.TTL, numbered(4))
	t.Logf("all were back %v after the wipe, the TTL is %v", time.Since(began).Round(time.Millisecond), env.TTL)
	all[0].until(t, env.TTL, "holds nobody", func(v membership.View) bool { return v.Held() == 0 && !v.Stale })
	seen.want(t, "in all", "")
	for _, r := range joined {
		if r.Context().Err() != nil {
			t.Errorf("%s ended: %v", r.ID(), context.Cause(r.Context()))
		}
	}
}

// restored: a backup brings back an entry that was replaced, and one of a
// member that has left.
func restored(t *testing.T, env *drivertest.Env) {
	all, joined := crowd(t, env, 4)
	restore := env.Snapshot(t)
	s, err := joined[1].Entry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Replace(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := joined[3].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	all[0].entries(t, time.Second, numbered(3))
	restore()
	all[0].entries(t, 2*env.Expiry, numbered(3))
	all[0].shows(t, 3*env.TTL, numbered(3))
	if joined[1].Context().Err() != nil {
		t.Errorf("m1 ended: %v", context.Cause(joined[1].Context()))
	}
}

// hundredJoins: what comes together is seen together.
func hundredJoins(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	seen := p.record(t)
	began := time.Now()
	for i := range 100 {
		go func() {
			if _, err := q.Join(t.Context(), membership.Member{ID: fmt.Sprintf("m%02d", i)}); err != nil && t.Context().Err() == nil {
				t.Errorf("Join: %v", err)
			}
		}()
	}
	p.until(t, 10*time.Second, "shows a hundred", func(v membership.View) bool { return len(v.Members) == 100 })
	took := time.Since(began)
	var views int
	eventually(t, time.Second, "the watch delivers a hundred", func() error {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		if views = seen.views; len(seen.changes) != 100 {
			return fmt.Errorf("it has delivered %d", len(seen.changes))
		}
		return nil
	})
	t.Logf("a hundred joins were seen within %v, in %d views", took.Round(time.Millisecond), views)
	if most := int(took/(200*time.Millisecond)) + 2; views > most {
		t.Errorf("%d views, want %d at most", views, most)
	}
}

func deleteKey(t testing.TB, store *backend.Store, key string) {
	t.Helper()
	if _, err := store.Commit(t.Context(), backend.Txn{Ops: []backend.Op{driver.Delete(key, backend.Version{})}}); err != nil {
		t.Fatal(err)
	}
}
