package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

func TestCutRefusesAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		w := watch(t, d, driver.Key("x/a"))
		d.Cut()
		start := time.Now()
		_, err := d.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create("x/a", nil)}})
		synctest.Wait()
		if !errors.Is(err, driver.ErrUnavailable) || !errors.Is(w.err(), driver.ErrUnavailable) || time.Since(start) != 0 {
			t.Errorf("commit %v, watch %v after %v; want ErrUnavailable at once", err, w.err(), time.Since(start))
		}
		d.Heal()
		if v := apply(t, d, "", driver.Create("x/a", nil)); v[0].Generation != 2 {
			t.Errorf("generation %d on a new connection, want 2", v[0].Generation)
		}
	})
}

func TestLostRepliesAndRequests(t *testing.T) {
	for name, c := range map[string]struct {
		disturb func(*memory.Driver)
		applied bool
	}{
		"silence": {(*memory.Driver).Silence, false},
		"mute":    {(*memory.Driver).Mute, true},
		"depose":  {(*memory.Driver).Depose, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
				l := grant(t, d)
				txn := driver.Txn{Ops: []driver.Op{driver.Create("x/a", nil)}}
				c.disturb(d)
				w := watch(t, d, driver.Key("x/a"))

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				_, err := d.Commit(ctx, txn)
				if !errors.Is(err, driver.ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
					t.Errorf("Commit = %v after %v, want ErrIndeterminate and the context's after 1s", err, time.Since(start))
				}
				if _, err = d.Commit(ctx, txn); !errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Commit after its context = %v, want ErrUnavailable and the context's", err)
				}
				start = time.Now()
				if _, err = d.Read(t.Context(), driver.Key("x/a")); !errors.Is(err, driver.ErrUnavailable) || time.Since(start) != memory.Patience {
					t.Errorf("Read = %v after %v, want ErrUnavailable after %v", err, time.Since(start), memory.Patience)
				}
				go func() {
					time.Sleep(time.Second)
					d.Heal()
				}()
				if _, err = d.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create("x/b", nil)}}); !errors.Is(err, driver.ErrIndeterminate) {
					t.Errorf("Commit under way when healed = %v, want ErrIndeterminate", err)
				}
				synctest.Wait()
				if got := len(s.Entries()); (got == 2) != c.applied || (got == 0) == c.applied {
					t.Errorf("%d keys, applied must be %v", got, c.applied)
				}
				if (len(w.seen()) != 1) || (len(w.last()) == 1) != c.applied {
					t.Errorf("the watch saw %v, want the state after healing once", w.seen())
				}
				renew(t, l)
			})
		})
	}
}

func TestRenewOnADeposedServer(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		l := grant(t, d)
		start := time.Now()
		time.Sleep(ttl / 2)
		d.Depose()
		if _, err := l.Renew(t.Context()); !errors.Is(err, driver.ErrNotCounted) {
			t.Errorf("Renew = %v, want ErrNotCounted", err)
		}
		d.Heal()
		<-l.Lost()
		if age := time.Since(start); age != ttl {
			t.Errorf("the lease ended after %v, want %v: the renewal must not have counted", age, ttl)
		}
	})
}

func TestContextEndsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		d.Silence()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("x/a", nil)}})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, driver.ErrIndeterminate) {
			t.Errorf("Commit = %v, want DeadlineExceeded and ErrIndeterminate", err)
		}
	})
}

func TestStats(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		other := memory.NewDriver(s)
		l := grant(t, d)
		renew(t, l)
		apply(t, d, "", driver.Create("x/a", nil))
		get(t, d, "x/a")
		watch(t, other, driver.Key("x/a"))
		if err := l.Revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := d.Stats(), (memory.Stats{Reads: 1, Commits: 1, Grants: 1, Renewals: 1, Revokes: 1}); got != want {
			t.Errorf("driver: %+v, want %+v", got, want)
		}
		if got, want := s.Stats(), (memory.Stats{Reads: 1, Commits: 1, Grants: 1, Renewals: 1, Revokes: 1, Watches: 1}); got != want {
			t.Errorf("server: %+v, want %+v", got, want)
		}
	})
}
