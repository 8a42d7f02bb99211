package memory_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

func TestLeaseEndsAtItsInstant(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		l := grant(t, d)
		apply(t, d, l.ID(), driver.CreateEphemeral("x/a", nil), driver.CreateEphemeral("x/b", nil))
		w := watch(t, d, driver.Dir("x"))
		time.Sleep(ttl / 2)
		renew(t, l)
		start := time.Now()
		time.Sleep(ttl - 1)
		synctest.Wait()
		if len(w.last()) != 2 || lost(l) {
			t.Fatalf("one nanosecond before the end: %d keys, lost %v", len(w.last()), lost(l))
		}
		<-l.Lost()
		if age := time.Since(start); age != ttl {
			t.Errorf("the lease ended %v after its renewal, want %v", age, ttl)
		}
		synctest.Wait()
		if len(w.seen()) != 2 || len(w.last()) != 0 {
			t.Errorf("the watch saw %v, want both keys and then none", w.seen())
		}
		if _, err := l.Renew(t.Context()); !errors.Is(err, driver.ErrSessionLost) {
			t.Errorf("Renew = %v, want ErrSessionLost", err)
		}
		if err := l.Revoke(t.Context()); err != nil {
			t.Errorf("Revoke of a lease that is gone: %v", err)
		}
		_, err := d.Commit(t.Context(), driver.Txn{Lease: l.ID(), Ops: []driver.Op{driver.CreateEphemeral("x/c", nil)}})
		if !errors.Is(err, driver.ErrSessionLost) || len(s.Entries()) != 0 {
			t.Errorf("commit under a lease that is gone: %v, want ErrSessionLost; keys %v", err, s.Entries())
		}
	})
}

func TestDownStoreDoesNotAgeLeases(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		l := grant(t, d)
		apply(t, d, l.ID(), driver.CreateEphemeral("x/a", nil))
		w := watch(t, d, driver.Key("x/a"))
		time.Sleep(ttl - 1)
		s.SetDown(true)
		synctest.Wait()
		if !errors.Is(w.err(), driver.ErrUnavailable) {
			t.Errorf("the watch ended with %v, want ErrUnavailable", w.err())
		}
		for name, err := range map[string]error{
			"Read":   second(d.Read(t.Context(), driver.Key("x/a"))),
			"Renew":  second(l.Renew(t.Context())),
			"Commit": second(d.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create("x/b", nil)}})),
			"Watch":  d.Watch(t.Context(), driver.Key("x/a"), func([]driver.Entry) {}),
		} {
			if !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("%s on a store that is down: %v, want ErrUnavailable", name, err)
			}
		}
		time.Sleep(100 * ttl)
		s.SetDown(false)
		start := time.Now()
		if e, ok := get(t, d, "x/a"); !ok || e.Version.Generation != 2 {
			t.Errorf("after the outage: %v %v, want the key in generation 2", e, ok)
		}
		<-l.Lost()
		if age := time.Since(start); age != ttl {
			t.Errorf("the lease ended %v after the outage, want %v", age, ttl)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestExpireAndIDs(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		backup := s.Snapshot()
		l := grant(t, d)
		d.Silence()
		if !s.Expire(l.ID()) || s.Expire(l.ID()) {
			t.Error("Expire reported a wrong life")
		}
		if lost(l) {
			t.Error("the client of a silent connection was told")
		}
		d.Heal()
		if _, err := l.Renew(t.Context()); !errors.Is(err, driver.ErrSessionLost) || !lost(l) {
			t.Errorf("Renew = %v, lost %v; want ErrSessionLost, true", err, lost(l))
		}
		s.Restore(backup)
		if again := grant(t, d); again.ID() == l.ID() {
			t.Errorf("the id %s was used again", l.ID())
		}
	})
}

func TestLeaseOfAnotherDriver(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		l := grant(t, memory.NewDriver(s))
		_, err := d.Commit(t.Context(), driver.Txn{Lease: l.ID(), Ops: []driver.Op{driver.CreateEphemeral("x/c", nil)}})
		if !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("Commit = %v, want ErrInvalid", err)
		}
	})
}

func TestClosedDriverLeavesItsLease(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		other := memory.NewDriver(s)
		l := grant(t, other)
		apply(t, other, l.ID(), driver.CreateEphemeral("x/a", nil))
		w := watch(t, d, driver.Key("x/a"))
		if err := other.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ttl - 1)
		synctest.Wait()
		if len(w.last()) != 1 {
			t.Error("the key went with its driver")
		}
		time.Sleep(1)
		synctest.Wait()
		if len(w.last()) != 0 {
			t.Error("the key outlived its lease")
		}
	})
}
