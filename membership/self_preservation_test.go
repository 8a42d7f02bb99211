package membership_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
)

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
		s, err := r.Entry(t.Context())
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

// Most have other entries by the time that this process hears of the store
// again: those who are still missing are fewer than half.
func TestOutageOthersAreBackBefore(t *testing.T) {
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
		time.Sleep(ttl / 2)
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

// The store ends the session of one in an outage in which all have lost theirs,
// as when a new leader begins with all leases fresh shortly before its end, and
// ends them one by one. That one takes longer to come back than others.
func TestOutageThatEndsOneSession(t *testing.T) { outageThatEnds(t, 1, nil) }

// Catches: a grace period that is shorter than the time to come back, and cuts
// that short when most have lost theirs.
func TestOutageWithAShortGracePeriod(t *testing.T) {
	outageThatEnds(t, 3, &membership.Options{GracePeriod: time.Millisecond})
}

// outageThatEnds has the store end the sessions of n of five, who are back half a
// TTL after the others.
func outageThatEnds(t *testing.T, n int, opts *membership.Options) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		o, all, _ := crowd(t, server, opts, "a", "b", "c", "d", "e")
		seen := o.watch()
		seen.take()
		for _, p := range append(all, o) {
			p.driver.Cut()
		}
		server.SetDown(true)
		time.Sleep(2 * ttl)
		server.SetDown(false)
		for _, p := range all[:n] {
			server.Expire(p.lease)
		}
		for _, p := range append(all[n:], o) {
			p.driver.Heal()
		}
		time.Sleep(ttl / 2)
		if v := o.group.View(); v.Held() != n || v.Stale {
			t.Errorf("%d are held, stale %t", v.Held(), v.Stale)
		}
		for _, p := range all[:n] {
			p.driver.Heal()
		}
		time.Sleep(ttl)
		wantKeys(t, "when all are back", server, "a", "b", "c", "d", "e")
		seen.want(t, "in all", "")
	})
}

// Who is not back a TTL after this process has another session has crashed.
func TestCrashDuringAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		o, all, _ := crowd(t, server, nil, "a", "b", "c", "d", "e")
		all[0].crash()
		server.SetDown(true)
		time.Sleep(2 * ttl)
		server.SetDown(false)
		back := time.Now()
		for ids(o.group.View()) != "b c d e" {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(back); d < ttl || d > ttl+ttl/2 {
			t.Errorf("who crashed in the outage is gone %v after it", d)
		}
	})
}

// denied is a driver of a process that may not have a session any more.
type denied struct {
	driver.Driver
	now atomic.Bool
}

func (d *denied) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	if d.now.Load() {
		return nil, driver.ErrDenied
	}
	return d.Driver.Grant(ctx, ttl)
}

// Catches: who has lost its session and is refused another, and holds for ever
// who has crashed.
func TestRefusedAnotherSession(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		_, all, _ := crowd(t, server, nil, "a", "b", "c")
		d := &denied{Driver: memory.NewDriver(server)}
		store, err := backend.New(d, &backend.Options{TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		g, err := membership.New(store, "g", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.WaitSynced(t.Context()); err != nil {
			t.Fatal(err)
		}
		session, err := store.Session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d.now.Store(true)
		server.Expire(session.ID())
		time.Sleep(time.Second)
		vanish(t, all[0])
		time.Sleep(10*time.Second + ttl + ttl/2) // the refusal is final after 10 s
		synctest.Wait()
		if v := g.View(); ids(v) != "b c" || v.Stale {
			t.Errorf("the view shows %q, %d held, stale: %t", ids(v), v.Held(), v.Stale)
		}
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
