package backend_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

func TestUseAfterClose(t *testing.T) {
	// Catches: a method that does not look whether the Store is closed.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		w, err := s.Watch(driver.Key("k"))
		if err != nil {
			t.Fatal(err)
		}
		held := session(t, s)
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		before := server.Stats()
		_, err = s.Session(t.Context())
		wantErr(t, err, backend.ErrClosed)
		_, err = s.Read(t.Context(), driver.Key("k"))
		wantErr(t, err, backend.ErrClosed)
		_, err = s.Commit(t.Context(), backend.Txn{Ops: []backend.Op{driver.Create("k", nil)}})
		wantErr(t, err, backend.ErrClosed)
		_, err = s.Watch(driver.Key("k"))
		wantErr(t, err, backend.ErrClosed)
		wantErr(t, w.Next(t.Context()), backend.ErrClosed)
		w.Close()
		failure := errors.New("failure")
		err = s.Retry(t.Context(), job, "run", func(context.Context) error { return failure })
		wantErr(t, err, backend.ErrClosed, failure)
		if held.Valid() || !errors.Is(context.Cause(held.Context()), backend.ErrClosed) {
			t.Errorf("session after Close: valid %v, cause %v", held.Valid(), context.Cause(held.Context()))
		}
		if after := server.Stats(); after != before {
			t.Errorf("requests after Close: %+v, before %+v", after, before)
		}
		noGoroutines(t)
	})
}

func TestCloseTwice(t *testing.T) {
	// Catches: a second Close that closes the driver again, returns nil, or
	// does not wait for the first.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		failure, calls := errors.New("native"), 0
		s := over(t, &fake{close: func(context.Context) error {
			calls++
			time.Sleep(time.Second)
			return failure
		}}, nil)
		var wg sync.WaitGroup
		passed := since()
		for range 3 {
			wg.Go(func() {
				wantErr(t, s.Close(), failure)
				wantTime(t, "Close returned", passed(), time.Second)
			})
		}
		wg.Wait()
		if calls != 1 {
			t.Errorf("the driver was closed %d times", calls)
		}
	})
}

func TestCloseRevokesAtOnce(t *testing.T) {
	// Catches: a session left to expire.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		txn := backend.Txn{Ops: []backend.Op{driver.CreateEphemeral("k", nil)}, Lease: session(t, s).ID()}
		if result, err := s.Commit(t.Context(), txn); err != nil || !result.Applied {
			t.Fatalf("Commit: %+v, %v", result, err)
		}
		passed := since()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantTime(t, "Close returned", passed(), 0)
		if left := server.Entries(); len(left) != 0 {
			t.Errorf("left after Close: %v", left)
		}
		noGoroutines(t)
	})
}

// TestCloseTriesToRevokeAgain: a session is not left to expire because the store
// refused once to end it, for load or since no server led.
func TestCloseTriesToRevokeAgain(t *testing.T) {
	for _, refusal := range []error{driver.ErrOverloaded, driver.ErrUnavailable} {
		bubble(t, func(t *testing.T, _ *memory.Server) {
			l := newLease("l", ttl)
			l.revoke = func(context.Context) error {
				if l.revoked.Load() < 3 {
					return refusal
				}
				return nil
			}
			s := over(t, granting(l), nil)
			session(t, s)
			passed := since()
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if n := l.revoked.Load(); n != 3 {
				t.Errorf("asked to end the session %d times, want 3", n)
			}
			if took := passed(); took > time.Second {
				t.Errorf("Close took %v", took)
			}
			noGoroutines(t)
		})
	}
}

func TestCloseOnADeadStore(t *testing.T) {
	// Catches: no part of the time for the driver's own Close; a Close that
	// waits for calls, watches or a renewal without bound.
	for name, disturb := range map[string]func(*memory.Driver){
		"silent": (*memory.Driver).Silence, "muted": (*memory.Driver).Mute, "deposed": (*memory.Driver).Depose,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, server *memory.Server) {
				s, d := open(t, server, &backend.Options{CloseTimeout: 4 * time.Second})
				session(t, s)
				w, err := s.Watch(driver.Dir("d"))
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				if err := w.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
				disturb(d)
				var wg sync.WaitGroup
				passed := since()
				wg.Go(func() { // under way when the Store is closed
					_, _, err := s.Get(t.Context(), "k")
					wantErr(t, err, backend.ErrClosed)
					wantTime(t, "Get returned", passed(), time.Second)
				})
				wg.Go(func() {
					wantErr(t, w.Next(t.Context()), backend.ErrClosed)
					wantTime(t, "Next returned", passed(), time.Second)
				})
				time.Sleep(time.Second)
				err = s.Close()
				if err == nil || !strings.Contains(err.Error(), "not revoked") {
					t.Errorf("Close: %v", err)
				}
				wantTime(t, "Close returned", passed(), time.Second+3*time.Second)
				wg.Wait()
				noGoroutines(t)
			})
		})
	}
}

func TestCloseIsBoundedWhateverTheDriverDoes(t *testing.T) {
	// Catches: contexts of Close that do not end at CloseTimeout.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		l := newLease("l", ttl)
		l.revoke = silence
		d := granting(l)
		d.close = silence
		s := over(t, d, &backend.Options{CloseTimeout: 2 * time.Second})
		session(t, s)
		passed := since()
		err := s.Close()
		wantErr(t, err, context.DeadlineExceeded)
		wantTime(t, "Close returned", passed(), 2*time.Second)
		noGoroutines(t)
	})
}

func TestCloseWaitsForHolders(t *testing.T) {
	// Catches: a session revoked while something runs under it; one whose
	// context ends only when it is revoked.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		l := newLease("l", ttl)
		s := over(t, granting(l), nil)
		held := session(t, s)
		release, release2 := held.Hold(), held.Hold()
		var wg sync.WaitGroup
		passed := since()
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			wantTime(t, "Close returned", passed(), 2*time.Second)
		})
		<-held.Context().Done()
		wantErr(t, context.Cause(held.Context()), backend.ErrClosed)
		wantTime(t, "the context ended", passed(), 0)
		time.Sleep(time.Second)
		release()
		release() // counts once
		time.Sleep(time.Second)
		if l.revoked.Load() != 0 {
			t.Error("revoked while held")
		}
		release2()
		wg.Wait()
		if l.revoked.Load() != 1 {
			t.Errorf("revoked %d times", l.revoked.Load())
		}
	})
}

func TestCloseLeavesToTheTTLWhatDoesNotStop(t *testing.T) {
	// Catches: a session revoked under a holder when time is up.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		l := newLease("l", ttl)
		s := over(t, granting(l), &backend.Options{CloseTimeout: 4 * time.Second})
		release := session(t, s).Hold()
		defer release()
		passed := since()
		err := s.Close()
		if err == nil || !strings.Contains(err.Error(), "still runs under it") {
			t.Errorf("Close: %v", err)
		}
		wantTime(t, "Close returned", passed(), 3*time.Second)
		if l.revoked.Load() != 0 {
			t.Error("revoked while held")
		}
		noGoroutines(t)
	})
}

func TestCloseDuringARenewalEndsTheSessionAtOnce(t *testing.T) {
	// Catches: a Close that first waits for a renewal which a silent store does
	// not answer: what runs under the session would go on meanwhile, for longer
	// than CloseTimeout if the TTL is long.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		l := newLease("l", 60*time.Second)
		l.renew = func(ctx context.Context) (time.Duration, error) { return 0, silence(ctx) }
		var failed log[backend.SessionRenewFailed]
		s := over(t, granting(l), &backend.Options{TTL: l.ttl, Trace: &backend.Trace{SessionRenewFailed: failed.add}})
		held := session(t, s)
		time.Sleep(19 * time.Second)
		if l.renewed.Load() != 1 {
			t.Fatalf("renewals begun: %d", l.renewed.Load())
		}
		passed := since()
		context.AfterFunc(held.Context(), func() { wantTime(t, "the context ended", passed(), 0) })
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantTime(t, "Close returned", passed(), 0)
		wantErr(t, context.Cause(held.Context()), backend.ErrClosed)
		if len(failed.all()) != 0 {
			t.Errorf("a renewal that Close ended was reported as failed: %+v", failed.all())
		}
		noGoroutines(t)
	})
}

func TestCloseDuringAGrantRevokesWhatComes(t *testing.T) {
	// Catches: a lease that is granted while the Store closes, and left behind.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		l := newLease("l", ttl)
		s := over(t, &fake{grant: func(ctx context.Context, _ time.Duration) (driver.Lease, error) {
			<-ctx.Done() // the reply was on its way
			return l, nil
		}}, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := s.Session(t.Context())
			wantErr(t, err, backend.ErrClosed)
		})
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wg.Wait()
		if l.revoked.Load() != 1 {
			t.Errorf("revoked %d times", l.revoked.Load())
		}
		noGoroutines(t)
	})
}

func TestCloseWakesWhoWaitsItsTurn(t *testing.T) {
	// Catches: pauses that go on after Close.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		first := session(t, s)
		server.Expire(first.ID())
		<-first.Context().Done()
		session(t, s)
		var wg sync.WaitGroup
		passed := since()
		for i := range 200 { // the last would have its turn after two seconds
			wg.Go(func() {
				if _, err := s.Session(t.Context()); i > 100 && err != nil {
					wantErr(t, err, backend.ErrClosed)
				}
				if passed() > time.Second {
					t.Errorf("Session returned %v after it began", passed())
				}
			})
		}
		wg.Go(func() {
			// The longest pause of Retry: it is asleep at nearly any time.
			err := s.Retry(t.Context(), job, "run", func(context.Context) error { return backend.ErrUnavailable })
			wantErr(t, err, backend.ErrClosed)
			wantTime(t, "Retry returned", passed(), time.Second)
		})
		time.Sleep(time.Second)
		_ = s.Close()
		wg.Wait()
	})
}
