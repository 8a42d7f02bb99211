package backend_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

func TestOneSessionForAll(t *testing.T) {
	// Catches: a lease per caller.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		ids := new(log[string])
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { ids.add(session(t, s).ID()) })
		}
		wg.Wait()
		for _, id := range ids.all() {
			if id != ids.all()[0] {
				t.Errorf("two sessions: %s and %s", id, ids.all()[0])
			}
		}
		if n := server.Stats().Grants; n != 1 {
			t.Errorf("%d leases were granted", n)
		}
	})
}

func TestTrustIsMeasuredFromTheStartOfTheCall(t *testing.T) {
	// Catches: a window measured from the receipt of the reply.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		l := newLease("l", ttl)
		l.renew = func(context.Context) (time.Duration, error) {
			time.Sleep(2 * time.Second)
			return ttl, nil
		}
		d := granting(l)
		grant := d.grant
		d.grant = func(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
			time.Sleep(time.Second)
			return grant(ctx, ttl)
		}
		s := over(t, d, nil)
		held := session(t, s)
		wantTime(t, "with a grant of 1s trust ends", held.TrustLeft(), window-time.Second)
		// The renewal begins a third of the window after the grant began.
		time.Sleep(window/3 - time.Second + 2*time.Second)
		synctest.Wait()
		wantTime(t, "with a renewal of 2s trust ends", held.TrustLeft(), window-2*time.Second)
	})
}

func TestTrustEndsAtItsDeadline(t *testing.T) {
	// Catches: trust that waits for the store's word, or ends a margin later.
	for name, disturb := range map[string]func(*memory.Driver){
		"silent": (*memory.Driver).Silence, "muted": (*memory.Driver).Mute,
		"deposed": (*memory.Driver).Depose, "cut": (*memory.Driver).Cut,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, server *memory.Server) {
				var failed log[backend.SessionRenewFailed]
				s, d := open(t, server, &backend.Options{Trace: &backend.Trace{SessionRenewFailed: failed.add}})
				held := session(t, s)
				time.Sleep(4 * time.Second) // it was renewed after 3s
				disturb(d)
				endsAfter(t, held, 3*time.Second+window-4*time.Second)
				wantErr(t, context.Cause(held.Context()), backend.ErrSessionLost)
				if held.Valid() || held.TrustLeft() > 0 {
					t.Error("valid after its end")
				}
				// The store keeps the lease a margin longer, at least.
				if n := len(failed.all()); n < 2 {
					t.Errorf("%d renewals were tried", n)
				}
				for _, f := range failed.all() {
					if f.Answered != (name == "deposed") || f.Session != held.ID() || f.Err == nil {
						t.Errorf("trace of a renewal that failed: %+v", f)
					}
				}
				d.Heal()
				if again := session(t, s); again.ID() == held.ID() || held.Valid() {
					t.Error("the session came back")
				}
			})
		})
	}
}

func TestAFailedRenewalGetsAnotherChance(t *testing.T) {
	// Catches: a renewal that may take all that is left of the window, or one
	// that begins too late for a second.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		l := newLease("l", ttl)
		l.renew = func(ctx context.Context) (time.Duration, error) {
			if l.renewed.Load()%2 == 1 {
				return 0, silence(ctx)
			}
			return ttl, nil
		}
		s := over(t, granting(l), nil)
		held := session(t, s)
		time.Sleep(time.Hour)
		if !held.Valid() {
			t.Errorf("session lost: %v", context.Cause(held.Context()))
		}
	})
}

func TestALateReplyRevivesNothing(t *testing.T) {
	// Catches: a renewal counted although the window closed before its reply.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		first, second := newLease("first", ttl), newLease("second", ttl)
		first.renew = func(context.Context) (time.Duration, error) {
			time.Sleep(window) // it does not heed its context
			return time.Hour, nil
		}
		var failed log[backend.SessionRenewFailed]
		var renewed log[backend.SessionRenewed]
		s := over(t, granting(first, second), &backend.Options{Trace: &backend.Trace{SessionRenewFailed: failed.add, SessionRenewed: renewed.add}})
		held := session(t, s)
		passed := since()
		<-held.Context().Done()
		wantTime(t, "trust ended", passed(), window)
		if again := session(t, s); again.ID() != "second" {
			t.Errorf("next session: %s", again.ID())
		}
		if held.Valid() {
			t.Error("the window was opened again")
		}
		if f := failed.all(); len(f) != 1 || !f[0].Answered || f[0].Took != window || f[0].TrustLeft > 0 || !errors.Is(f[0].Err, driver.ErrNotCounted) {
			t.Errorf("traced: %+v", f)
		}
		if len(renewed.all()) != 0 {
			t.Errorf("renewed: %+v", renewed.all())
		}
		if first.revoked.Load() != 1 {
			t.Errorf("revoked %d times", first.revoked.Load())
		}
	})
}

func TestAnAnswerThatProvesNothing(t *testing.T) {
	// Catches: ErrNotCounted, or a validFor that leaves no window, counted.
	for name, renew := range map[string]func(context.Context) (time.Duration, error){
		"ErrNotCounted": func(context.Context) (time.Duration, error) { return ttl, driver.ErrNotCounted },
		"margin":        func(context.Context) (time.Duration, error) { return margin, nil },
		"zero":          func(context.Context) (time.Duration, error) { return 0, nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, _ *memory.Server) {
				l := newLease("l", ttl)
				l.renew = renew
				var failed log[backend.SessionRenewFailed]
				s := over(t, granting(l), &backend.Options{Trace: &backend.Trace{
					SessionRenewFailed: failed.add,
					SessionRenewed:     func(r backend.SessionRenewed) { t.Errorf("renewed: %+v", r) },
				}})
				held := session(t, s)
				endsAfter(t, held, window)
				for _, f := range failed.all() {
					if !f.Answered {
						t.Errorf("traced: %+v", f)
					}
					wantErr(t, f.Err, driver.ErrNotCounted)
				}
				if n := len(failed.all()); n < 5 || n > 100 {
					t.Errorf("%d renewals in one window", n)
				}
			})
		})
	}
}

func TestAShorterRenewalSetsThePace(t *testing.T) {
	// Catches: a pace that follows the TTL, not what the renewal holds for: as
	// on ZooKeeper, that is less.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		l := newLease("l", 4*time.Second)
		l.renew = func(context.Context) (time.Duration, error) { return time.Second, nil }
		s := over(t, granting(l), &backend.Options{TTL: l.ttl})
		held := session(t, s)
		time.Sleep(10 * time.Minute)
		if !held.Valid() {
			t.Errorf("session lost: %v", context.Cause(held.Context()))
		}
	})
}

func TestTheStoreSaysTheSessionIsLost(t *testing.T) {
	native := errors.New("native")
	for name, c := range map[string]struct {
		after time.Duration
		start func(*testing.T, *backend.Store, *lease)
	}{
		// Catches: ErrSessionLost taken for a failure like any other.
		"renewal": {3 * time.Second, func(_ *testing.T, _ *backend.Store, l *lease) {
			l.renew = func(context.Context) (time.Duration, error) {
				return 0, fmt.Errorf("%w: %w", driver.ErrSessionLost, native)
			}
		}},
		// Catches: Lost not listened to.
		"lost": {2 * time.Second, func(_ *testing.T, _ *backend.Store, l *lease) {
			time.AfterFunc(2*time.Second, func() { close(l.lost) })
		}},
		// Catches: Lost not listened to while a renewal is under way.
		"lost while it is renewed": {4 * time.Second, func(_ *testing.T, _ *backend.Store, l *lease) {
			l.renew = func(ctx context.Context) (time.Duration, error) { return 0, silence(ctx) }
			time.AfterFunc(4*time.Second, func() { close(l.lost) })
		}},
		// Catches: a commit's ErrSessionLost not passed on, or whatever the lease.
		"commit": {time.Second, func(t *testing.T, s *backend.Store, l *lease) {
			for id, after := range map[string]time.Duration{"another": time.Second / 2, l.id: time.Second} {
				time.AfterFunc(after, func() {
					_, err := s.Commit(context.Background(), backend.Txn{Ops: []backend.Op{driver.CreateEphemeral("k", nil)}, Lease: id})
					wantErr(t, err, backend.ErrSessionLost, native)
				})
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, _ *memory.Server) {
				l := newLease("l", ttl)
				d := granting(l)
				d.commit = func(context.Context, driver.Txn) (driver.Result, error) {
					return driver.Result{}, fmt.Errorf("%w: %w", driver.ErrSessionLost, native)
				}
				var lost log[backend.SessionLost]
				s := over(t, d, &backend.Options{Trace: &backend.Trace{SessionLost: lost.add}})
				c.start(t, s, l)
				held := session(t, s)
				passed := since()
				<-held.Context().Done()
				wantTime(t, "trust ended", passed(), c.after)
				cause := context.Cause(held.Context())
				wantErr(t, cause, backend.ErrSessionLost)
				if name == "renewal" || name == "commit" {
					wantErr(t, cause, native)
				}
				if held.Valid() || held.TrustLeft() > 0 {
					t.Error("valid after its end")
				}
				synctest.Wait()
				if got := lost.all(); len(got) != 1 || got[0].Session != "l" || !errors.Is(got[0].Cause, cause) {
					t.Errorf("traced: %+v", got)
				}
			})
		})
	}
}

func TestUndisturbedPace(t *testing.T) {
	// Catches: another pace; a session that does not last; empty trace fields.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		l := newLease("l", ttl)
		l.renew = func(context.Context) (time.Duration, error) {
			time.Sleep(500 * time.Millisecond)
			return ttl, nil
		}
		d := granting(l)
		grant := d.grant
		d.grant = func(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
			time.Sleep(time.Second)
			return grant(ctx, ttl)
		}
		var granted log[backend.SessionGranted]
		var renewed log[backend.SessionRenewed]
		s := over(t, d, &backend.Options{Trace: &backend.Trace{
			SessionGranted:     granted.add,
			SessionRenewed:     renewed.add,
			SessionRenewFailed: func(f backend.SessionRenewFailed) { t.Errorf("renewal failed: %+v", f) },
			SessionLost:        func(l backend.SessionLost) { t.Errorf("lost: %+v", l) },
		}})
		session(t, s)
		time.Sleep(3 * ttl)
		if got := l.renewed.Load(); got != 10 { // every 3s since the grant began
			t.Errorf("%d renewals in 3 TTLs, want 10", got)
		}
		if got := granted.all(); len(got) != 1 || got[0] != (backend.SessionGranted{Session: "l", TTL: ttl, Took: time.Second}) {
			t.Errorf("granted: %+v", got)
		}
		want := backend.SessionRenewed{Session: "l", TrustLeft: window - window/3 - 500*time.Millisecond, Took: 500 * time.Millisecond}
		for _, got := range renewed.all() {
			if got != want {
				t.Errorf("renewed: %+v, want %+v", got, want)
			}
		}
		if err := s.Close(); err != nil { // and is not traced as lost
			t.Error(err)
		}
	})
}

func TestLateCountsFromThePlan(t *testing.T) {
	// Catches: Late counted from the last failed attempt: it would say zero
	// exactly when the store is slow.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		l := newLease("l", ttl)
		l.renew = func(ctx context.Context) (time.Duration, error) {
			if l.renewed.Load() == 1 {
				return 0, silence(ctx)
			}
			return ttl, nil
		}
		var renewed log[backend.SessionRenewed]
		var failed log[backend.SessionRenewFailed]
		s := over(t, granting(l), &backend.Options{Trace: &backend.Trace{SessionRenewed: renewed.add, SessionRenewFailed: failed.add}})
		session(t, s)
		time.Sleep(window)
		f, r := failed.all(), renewed.all()
		if len(f) != 1 || len(r) == 0 {
			t.Fatalf("failed %+v, renewed %+v", f, r)
		}
		if f[0].Late != 0 || f[0].Took != window/4 || f[0].TrustLeft != window-window/3-window/4 || f[0].Answered {
			t.Errorf("failed: %+v", f[0])
		}
		if late := r[0].Late; late < window/4 || late > window/4+window/16 || r[0].TrustLeft != window-window/3-late {
			t.Errorf("renewed: %+v", r[0])
		}
	})
}

func TestLastSession(t *testing.T) {
	// Catches: a look at the session that opens one, waits, or forgets one that
	// is over.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		if got := s.LastSession(); got != nil {
			t.Errorf("before the first: %s", got.ID())
		}
		if n := server.Stats().Grants; n != 0 {
			t.Errorf("looking granted %d leases", n)
		}
		first := session(t, s)
		if got := s.LastSession(); got != first || !got.Valid() {
			t.Errorf("LastSession is not the one there is")
		}
		server.SetDown(true)
		time.Sleep(2 * ttl)
		if got := s.LastSession(); got != first || got.Valid() || got.TrustLeft() > 0 {
			t.Errorf("in an outage LastSession is not the one that was lost")
		}
		server.SetDown(false)
		second := session(t, s)
		if got := s.LastSession(); got != second || got == first {
			t.Errorf("after the outage LastSession is not the new one")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got := s.LastSession(); got != second || got.Valid() {
			t.Errorf("after Close LastSession is not the one that was revoked")
		}
	})
}
