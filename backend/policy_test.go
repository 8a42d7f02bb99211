package backend_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

const refusedFor = 10 * time.Second

// forSoLong returns a function for Retry that fails for so long.
func forSoLong(d time.Duration, failure error) func(context.Context) error {
	passed := since()
	return func(context.Context) error {
		if passed() < d {
			return fmt.Errorf("deep: %w", failure)
		}
		return nil
	}
}

func TestARefusalIsTriedAgainForAWhile(t *testing.T) {
	// Catches: a transient 403 that ends what it met for good; a refusal that is
	// tried for ever; a Store whose credential never was good and that waits.
	bubble(t, func(t *testing.T, server *memory.Server) {
		fresh, _ := open(t, server, nil)
		served, _ := open(t, server, nil)
		held := session(t, served)
		retry := served.Retry
		under := func(ctx context.Context, of backend.Subject, operation backend.Operation, fn func(context.Context) error) error {
			return served.RetryUnder(ctx, held, of, operation, fn)
		}
		for name, c := range map[string]struct {
			retry   func(context.Context, backend.Subject, backend.Operation, func(context.Context) error) error
			failure error
			lasts   time.Duration
			within  time.Duration // after which it is final
		}{
			"passes":                 {retry, backend.ErrDenied, refusedFor - time.Second, refusedFor},
			"stays":                  {retry, backend.ErrDenied, time.Hour, refusedFor},
			"passes under a session": {under, backend.ErrDenied, held.TTL()/2 - time.Second, held.TTL() / 2},
			"stays under a session":  {under, backend.ErrDenied, time.Hour, held.TTL() / 2},
			"never served":           {fresh.Retry, backend.ErrDenied, time.Hour, 0},
			"never served, unknown":  {fresh.Retry, driver.ErrUnknownCredential, refusedFor - time.Second, refusedFor},
			"too large":              {retry, backend.ErrTooLarge, time.Hour, 0},
		} {
			passed := since()
			err := c.retry(t.Context(), job, "test", forSoLong(c.lasts, c.failure))
			switch {
			case c.lasts < c.within && err != nil:
				t.Errorf("%s: %v", name, err)
			case c.lasts >= c.within && !errors.Is(err, c.failure):
				t.Errorf("%s: %v, want %v", name, err, c.failure)
			case c.lasts >= c.within:
				wantTime(t, name+": final", passed(), c.within)
			}
		}
	})
}

func TestOnlyAnUnbrokenRowOfRefusalsIsFinal(t *testing.T) {
	// Catches: refusals before and after an outage that are counted as one row.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		session(t, s)
		passed := since()
		err := s.Retry(t.Context(), job, "test", func(context.Context) error {
			switch at := passed(); {
			case at < 8*time.Second, at > time.Minute && at < time.Minute+8*time.Second:
				return backend.ErrDenied
			case at < time.Minute:
				return backend.ErrUnavailable
			}
			return nil
		})
		if err != nil {
			t.Errorf("Retry = %v", err)
		}
	})
}

func TestCleanUpThatIsRefusedEndsTheSession(t *testing.T) {
	// Catches: keys that nobody can delete, under a session that is renewed for
	// as long as the process lives.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		other, _ := open(t, server, nil)
		first := session(t, s)
		put(t, s, "persistent", "")
		if _, err := s.Commit(t.Context(), backend.Txn{
			Ops: []backend.Op{driver.CreateEphemeral("mine", nil)}, Lease: first.ID(),
		}); err != nil {
			t.Fatal(err)
		}
		release := first.Hold()
		passed := since()
		err := s.CleanUp(t.Context(), first, job, "test", func(context.Context) error { return backend.ErrDenied })
		wantErr(t, err, backend.ErrDenied)
		wantTime(t, "CleanUp returned", passed(), first.TTL()/2)
		wantErr(t, context.Cause(first.Context()), backend.ErrSessionLost, backend.ErrDenied)
		if first.Valid() {
			t.Error("the session is still trusted")
		}
		time.Sleep(time.Second)
		if _, there, err := other.Get(t.Context(), "mine"); !there || err != nil {
			t.Errorf("the key is gone while something runs under the session: %v", err)
		}
		release()
		time.Sleep(time.Second)
		if _, there, err := other.Get(t.Context(), "mine"); there || err != nil {
			t.Errorf("the key is still there: %v", err)
		}
		if second := session(t, s); second == first || !second.Valid() {
			t.Error("no new session")
		}
	})
}

func TestAnOrphanThatMayNotBeDeletedEndsTheSession(t *testing.T) {
	// Catches: an orphan that blocks others for as long as the process lives,
	// because the permission to delete it was taken away.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		held := session(t, s)
		c := s.NewClaimant("dir", func(backend.Entry) bool { return false },
			func(context.Context, backend.Entry) error { return backend.ErrDenied })
		t.Cleanup(c.Close)
		if _, err := s.Commit(t.Context(), backend.Txn{
			Ops: []backend.Op{backend.CreateEphemeral("dir/orphan", nil)}, Lease: held.ID(),
		}); err != nil {
			t.Fatal(err)
		}
		passed := since()
		c.GaveUp(held, true)
		<-held.Context().Done()
		if d := passed(); d > held.TTL() {
			t.Errorf("the session lasted %v more", d)
		}
		wantErr(t, context.Cause(held.Context()), backend.ErrDenied)
	})
}

func TestCleanUpThatIsGivenUpLeavesTheSession(t *testing.T) {
	// Catches: a session that ends for a clean-up which only lacked time, or
	// which succeeded in the end.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		held := session(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.CleanUp(ctx, held, job, "test", func(context.Context) error { return backend.ErrDenied })
		wantErr(t, err, context.DeadlineExceeded)
		if err := s.CleanUp(t.Context(), held, job, "test", forSoLong(held.TTL()/4, backend.ErrDenied)); err != nil {
			t.Errorf("CleanUp = %v", err)
		}
		if !held.Valid() {
			t.Errorf("the session is over: %v", context.Cause(held.Context()))
		}
	})
}

func TestAWatchOutlastsARefusalThatPasses(t *testing.T) {
	// Catches: a watcher that ends for good at the first 403; one that never
	// hears of it; a watcher that inherits the refusals of an earlier one.
	bubble(t, func(t *testing.T, server *memory.Server) {
		var denied atomic.Bool
		s := over(t, refusingWatches{memory.NewDriver(server), &denied}, nil)
		put(t, s, "a", "1")
		watch := func() *backend.Watcher {
			w, err := s.Watch(driver.Key("a"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Close)
			return w
		}
		denied.Store(true)
		w, passed := watch(), since()
		time.AfterFunc(refusedFor-2*time.Second, func() { denied.Store(false) })
		if err := w.Next(t.Context()); err != nil {
			t.Fatalf("Next = %v after %v", err, passed())
		}
		w.Close()
		denied.Store(true)
		for range 2 {
			w, passed := watch(), since()
			wantErr(t, w.Next(t.Context()), backend.ErrDenied)
			if d := passed(); d < refusedFor || d > refusedFor+2*time.Second {
				t.Errorf("the watch was given up after %v, want %v", d, refusedFor)
			}
			w.Close()
		}
	})
}

type refusingWatches struct {
	driver.Driver
	denied *atomic.Bool
}

func (d refusingWatches) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if d.denied.Load() {
		return fmt.Errorf("watch: %w", driver.ErrDenied)
	}
	return d.Driver.Watch(ctx, target, changed)
}
