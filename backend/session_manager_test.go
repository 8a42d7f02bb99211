package backend_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

func TestAGrantSlowerThanItsWindow(t *testing.T) {
	// Catches: a session handed out whose window has closed; its lease left
	// behind.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		slow, good := newLease("slow", time.Second), newLease("good", time.Second)
		d := granting(slow, good)
		grant := d.grant
		d.grant = func(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
			l, err := grant(ctx, ttl)
			if l == driver.Lease(slow) {
				time.Sleep(900 * time.Millisecond)
			}
			return l, err
		}
		var retrying log[backend.Retrying]
		s := over(t, d, &backend.Options{TTL: time.Second, Trace: &backend.Trace{
			Retrying:       retrying.add,
			SessionGranted: func(g backend.SessionGranted) { wantString(t, "granted", g.Session, "good") },
		}})
		held := session(t, s)
		if held.ID() != "good" || !held.Valid() || slow.revoked.Load() != 1 {
			t.Errorf("session %s, valid %v; the slow one was revoked %d times", held.ID(), held.Valid(), slow.revoked.Load())
		}
		if got := retrying.all(); len(got) != 1 || got[0].Attempt != 1 || got[0].Kind != backend.KindSession || got[0].Operation != "grant" || got[0].Err == nil {
			t.Errorf("traced: %+v", got)
		}
	})
}

func wantString(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s %q, want %q", what, got, want)
	}
}

func TestGrantRefusedForGood(t *testing.T) {
	// Catches: a caller that waits for ever for what cannot be had; a keeper
	// that never tries again.
	for _, refusal := range []error{driver.ErrDenied, driver.ErrInvalid} {
		bubble(t, func(t *testing.T, _ *memory.Server) {
			native := errors.New("native")
			l := newLease("l", ttl)
			asked, good := 0, false
			s := over(t, &fake{grant: func(context.Context, time.Duration) (driver.Lease, error) {
				asked++
				time.Sleep(time.Second)
				if good {
					return l, nil
				}
				return nil, fmt.Errorf("%w: %w", refusal, native)
			}}, nil)
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					_, err := s.Session(t.Context())
					wantErr(t, err, refusal, native)
				})
			}
			wg.Wait()
			if asked != 1 {
				t.Errorf("asked %d times", asked)
			}
			time.Sleep(time.Hour)
			if asked != 1 {
				t.Errorf("asked %d times although nobody wants it", asked)
			}
			good = true
			wantString(t, "session", session(t, s).ID(), "l")
		})
	}
}

func TestSessionEndsWithItsContext(t *testing.T) {
	// Catches: a wait that ignores ctx, or hides why it ended.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		d.Silence()
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, why)
		defer cancel()
		passed := since()
		_, err := s.Session(ctx)
		wantErr(t, err, backend.ErrUnavailable, why)
		wantTime(t, "Session returned", passed(), time.Minute)
		d.Heal()
		session(t, s) // what began for the first caller serves the next
	})
}

func TestTheSessionComesAsSoonAsTheStoreDoes(t *testing.T) {
	// Catches: pauses that grow without bound; a keeper that gave up; a log
	// line for each attempt.
	bubble(t, func(t *testing.T, server *memory.Server) {
		var retrying log[backend.Retrying]
		s, d := open(t, server, &backend.Options{Trace: &backend.Trace{Retrying: retrying.add}})
		d.Cut()
		passed := since()
		time.AfterFunc(24*time.Hour, d.Heal)
		session(t, s)
		if late := passed() - 24*time.Hour; late < 0 || late > ttl/2 {
			t.Errorf("%v after the store", late)
		}
		pauses := time.Duration(0)
		for i, r := range retrying.all() {
			if r.Attempt != i+1 || r.Pause > ttl/2 || !errors.Is(r.Err, backend.ErrUnavailable) {
				t.Fatalf("traced: %+v", r)
			}
			pauses += r.Pause
		}
		if pauses != passed() {
			t.Errorf("traced pauses of %v in %v", pauses, passed())
		}
	})
}

func TestThoseWhoLostTheirSessionsDoNotComeBackTogether(t *testing.T) {
	// Catches: no jitter before the next grant.
	bubble(t, func(t *testing.T, server *memory.Server) {
		var back log[time.Duration]
		passed := since()
		var firsts []*backend.Session
		var wg sync.WaitGroup
		for range 100 {
			s, _ := open(t, server, nil)
			first := session(t, s)
			firsts = append(firsts, first)
			wg.Go(func() {
				<-first.Context().Done()
				if session(t, s).ID() == first.ID() {
					t.Error("a lost session came back")
				}
				back.add(passed())
			})
		}
		for _, first := range firsts {
			server.Expire(first.ID())
		}
		wg.Wait()
		var within [4]int
		for _, d := range back.all() {
			if d > 200*time.Millisecond {
				t.Fatalf("back after %v", d)
			}
			within[min(d/(50*time.Millisecond), 3)]++
		}
		for _, n := range within {
			if n < 5 { // of 25: less than one in a million
				t.Errorf("back in each quarter of 200ms: %v", within)
			}
		}
	})
}

func TestSessionsLostAtOnceAreGrantedEverSlower(t *testing.T) {
	// Catches: pauses that begin anew with each grant, so that a store that
	// grants sessions and loses them at once is asked ten times a second, by
	// everyone, for ever.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		var grants atomic.Int64
		s := over(t, &fake{grant: func(context.Context, time.Duration) (driver.Lease, error) {
			l := newLease(fmt.Sprint(grants.Add(1)), ttl)
			close(l.lost)
			return l, nil
		}}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		_, _ = s.Session(ctx) // may catch one that lives for an instant
		<-ctx.Done()
		// Pauses of at most half a TTL, 2.5s on average.
		if n := grants.Load(); n < 60 || n > 400 {
			t.Errorf("%d grants in 10 minutes", n)
		}
	})
}

func TestRejoinersAreLetThroughOneByOne(t *testing.T) {
	// Catches: no pacing; pacing of those who come first, or who lost nothing.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		first := session(t, s)
		passed := since()
		for range 50 {
			session(t, s)
		}
		wantTime(t, "undisturbed, all were let through", passed(), 0)
		server.Expire(first.ID())
		<-first.Context().Done()
		var through log[time.Time]
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				session(t, s)
				through.add(time.Now())
			})
		}
		wg.Wait()
		times := through.all()
		for i := range times[1:] {
			wantTime(t, "the next was let through", times[i+1].Sub(times[i]), 10*time.Millisecond)
		}
		time.Sleep(time.Second)
		passed = since()
		session(t, s)
		wantTime(t, "long after, one was let through", passed(), 0)
	})
}

func TestNoneIsLetThroughToASessionLostMeanwhile(t *testing.T) {
	// Catches: a session returned that was lost while the caller waited its
	// turn.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		first := session(t, s)
		server.Expire(first.ID())
		<-first.Context().Done()
		second := session(t, s)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if got := session(t, s); !got.Valid() {
					t.Errorf("let through to %s, which is over", got.ID())
				}
			})
		}
		time.Sleep(300*time.Millisecond + time.Microsecond)
		server.Expire(second.ID())
		wg.Wait()
	})
}

// untrusted makes the renewals of a lease fail, so that its session ends with
// its window while the store may still have its keys.
func untrusted(l *lease) {
	l.renew = func(context.Context) (time.Duration, error) {
		return 0, fmt.Errorf("%w: no reply", driver.ErrUnavailable)
	}
}

// TestTheLostIsRevokedBeforeTheNextIsGranted: but not while something may
// still run under it.
func TestTheLostIsRevokedBeforeTheNextIsGranted(t *testing.T) {
	for name, c := range map[string]struct {
		holdFor, revokedAfter time.Duration
	}{
		// Catches: no revoke, or only after the next grant.
		"not held": {0, 0},
		// Catches: a revoke under a holder.
		"held": {margin / 2, margin / 2},
		// Catches: a holder that does not stop keeps all others out.
		"held for ever": {time.Hour, margin},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, _ *memory.Server) {
				first, second := newLease("first", ttl), newLease("second", ttl)
				untrusted(first)
				var revoked log[time.Time]
				first.revoke = func(context.Context) error {
					revoked.add(time.Now())
					return nil
				}
				d := granting(first, second)
				grant := d.grant
				granted := 0
				d.grant = func(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
					if granted++; granted == 2 && first.revoked.Load() != 1 {
						t.Error("the next session was granted before the lost one was revoked")
					}
					return grant(ctx, ttl)
				}
				s := over(t, d, nil)
				held := session(t, s)
				if c.holdFor > 0 {
					release := held.Hold()
					context.AfterFunc(held.Context(), func() { time.AfterFunc(c.holdFor, release) })
				}
				<-held.Context().Done() // at the end of its window
				lost := time.Now()
				wantString(t, "next session", session(t, s).ID(), "second")
				if r := revoked.all(); len(r) != 1 {
					t.Errorf("revoked %d times", len(r))
				} else {
					wantTime(t, "the lost session was revoked", r[0].Sub(lost), c.revokedAfter)
				}
			})
		})
	}
}

// TestASessionThatTheStoreLostHoldsUpNobody: its keys are gone, so there is
// nothing to revoke, and nothing that another session would have to wait for.
func TestASessionThatTheStoreLostHoldsUpNobody(t *testing.T) {
	// Catches: one slow body under the lost session that keeps every primitive
	// of the process from the next, for as long as the lost one had left.
	gone := fmt.Errorf("%w: of the fake", driver.ErrSessionLost)
	for name, lose := range map[string]func(*testing.T, *backend.Store, *lease){
		"a renewal says so": func(*testing.T, *backend.Store, *lease) {},
		"a commit says so": func(t *testing.T, s *backend.Store, l *lease) {
			_, err := s.Commit(t.Context(), backend.Txn{Ops: []backend.Op{backend.CreateEphemeral("k", nil)}, Lease: l.ID()})
			wantErr(t, err, backend.ErrSessionLost)
		},
		"the server says so": func(_ *testing.T, _ *backend.Store, l *lease) { close(l.lost) },
		"the server says so after its window": func(_ *testing.T, s *backend.Store, l *lease) {
			<-s.LastSession().Context().Done()
			close(l.lost)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, _ *memory.Server) {
				first, second := newLease("first", ttl), newLease("second", ttl)
				untrusted(first)
				if name == "a renewal says so" {
					first.renew = func(context.Context) (time.Duration, error) { return 0, gone }
				}
				d := granting(first, second)
				d.commit = func(context.Context, driver.Txn) (driver.Result, error) { return driver.Result{}, gone }
				s := over(t, d, nil)
				held := session(t, s)
				defer held.Hold()()
				lose(t, s, first)
				<-held.Context().Done()
				passed := since()
				wantString(t, "next session", session(t, s).ID(), "second")
				if passed() > 500*time.Millisecond {
					t.Errorf("the next session came %v after the loss", passed())
				}
				if n := first.revoked.Load(); n != 0 {
					t.Errorf("the lost session was revoked %d times", n)
				}
			})
		})
	}
}

func TestALostSessionThatCannotBeRevokedHoldsUpNobody(t *testing.T) {
	// Catches: a revoke without a bound.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		first, second := newLease("first", ttl), newLease("second", ttl)
		first.revoke = silence
		untrusted(first)
		s := over(t, granting(first, second), nil)
		held := session(t, s)
		<-held.Context().Done()
		passed := since()
		session(t, s)
		if passed() < ttl/4 || passed() > ttl/4+200*time.Millisecond {
			t.Errorf("the next session came after %v", passed())
		}
		synctest.Wait()
	})
}
