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

func TestVersionsAreSmallCounters(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		for range 2 {
			v := apply(t, d, "", driver.Create("x/a", []byte("1")))[0]
			if want := (driver.Version{Generation: 1}); v != want {
				t.Fatalf("version of a new key %v, want %v", v, want)
			}
			v = apply(t, d, "", driver.Put("x/a", []byte("2"), v))[0]
			before, _ := get(t, d, "x/a")
			if same := apply(t, d, "", driver.Put("x/a", []byte("2"), v))[0]; same != v || v.Number != 1 {
				t.Errorf("versions %v, %v after a put of equal bytes; want 1, 1", v, same)
			}
			if after, _ := get(t, d, "x/a"); after.Modified != before.Modified {
				t.Error("a put of equal bytes moved Modified")
			}
			if !s.Delete("x/a") || s.Delete("x/a") {
				t.Error("Delete reported a wrong existence")
			}
		}
	})
}

func TestEqualPutWakesNobody(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		v := apply(t, d, "", driver.Create("x/a", []byte("1")))[0]
		w := watch(t, d, driver.Key("x/a"))
		apply(t, d, "", driver.Put("x/a", []byte("1"), v))
		apply(t, d, "", driver.Create("y/a", nil))
		synctest.Wait()
		if len(w.seen()) != 1 {
			t.Errorf("%d states seen, want 1", len(w.seen()))
		}
		w.stop()
		synctest.Wait()
		if !errors.Is(w.err(), context.Canceled) || !errors.Is(w.err(), driver.ErrUnavailable) {
			t.Errorf("the watch ended with %v", w.err())
		}
	})
}

func TestDirectoriesNeverBecomeKeys(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		apply(t, d, "", driver.Create("x/y/a", nil))
		s.Delete("x/y/a")
		s.Restore(s.Snapshot())
		for _, ops := range [][]driver.Op{
			{driver.Create("x", nil)},
			{driver.Create("x/y", nil)},
			{driver.Create("z", nil), driver.Create("z/a", nil)},
		} {
			if _, err := d.Commit(t.Context(), driver.Txn{Ops: ops}); !errors.Is(err, driver.ErrInvalid) {
				t.Errorf("Commit(%v) = %v, want ErrInvalid", ops, err)
			}
		}
		apply(t, d, "", driver.Create("z", nil))
		if _, err := d.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create("z/a", nil)}}); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("create below a key: %v, want ErrInvalid", err)
		}
	})
}

func TestRestore(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		other := memory.NewDriver(s)
		old, ended := grant(t, d), grant(t, other)
		v := apply(t, d, old.ID(), driver.CreateEphemeral("x/old", nil), driver.Create("x/kept", []byte("1")))
		apply(t, other, ended.ID(), driver.CreateEphemeral("x/ended", nil))
		entries := s.Entries()
		backup := s.Snapshot()

		late := grant(t, d)
		apply(t, d, late.ID(), driver.CreateEphemeral("x/late", nil), driver.Put("x/kept", []byte("2"), v[1]))
		other.Silence()
		s.Expire(ended.ID())
		w := watch(t, d, driver.Dir("x"))
		time.Sleep(ttl - time.Second)
		renew(t, old)
		s.Restore(backup)
		start := time.Now()
		if got := s.Entries(); len(got) != 3 || got[0].Key != "x/ended" || got[1].Modified != entries[1].Modified {
			t.Errorf("restored %v, want %v", got, entries)
		}
		if !lost(late) || lost(old) {
			t.Errorf("lost: new lease %v, old lease %v; want true, false", lost(late), lost(old))
		}
		synctest.Wait()
		if len(w.last()) != 3 || w.last()[0].Version.Generation != 2 {
			t.Errorf("the watch saw %v, want three keys of generation 2", w.last())
		}
		if commit(t, d, "", driver.Put("x/kept", []byte("3"), v[1])).Applied {
			t.Error("a version of an older generation was accepted")
		}
		if e, _ := get(t, memory.NewDriver(s), "x/kept"); e.Version.Generation != 1 {
			t.Errorf("a new driver starts at generation %d, want 1", e.Version.Generation)
		}
		<-old.Lost()
		if age := time.Since(start); age != ttl {
			t.Errorf("the old lease ended %v after the restore, want %v", age, ttl)
		}
		synctest.Wait()
		if left := s.Entries(); len(left) != 1 || left[0].Key != "x/kept" {
			t.Errorf("left one TTL after the restore: %v, want x/kept", left)
		}
		s.Restore(backup)
		other.Heal()
		renew(t, ended) // its client was never told that it had ended
		if _, err := old.Renew(t.Context()); !errors.Is(err, driver.ErrSessionLost) {
			t.Errorf("Renew of a lease known to be gone = %v, want ErrSessionLost", err)
		}
	})
}

func TestWipe(t *testing.T) {
	bubble(t, func(t *testing.T, s *memory.Server, d *memory.Driver) {
		l := grant(t, d)
		apply(t, d, l.ID(), driver.CreateEphemeral("x/a", nil))
		w := watch(t, d, driver.Key("x/a"))
		s.Wipe()
		synctest.Wait()
		if len(w.last()) != 0 || !lost(l) || len(s.Entries()) != 0 {
			t.Errorf("after a wipe: watch %v, lost %v, entries %v", w.last(), lost(l), s.Entries())
		}
		apply(t, d, "", driver.Create("x/a", nil))
		if e, _ := get(t, d, "x/a"); e.Created != 1 || e.Version.Generation != 2 {
			t.Errorf("first key after a wipe: %v, want revision 1 and generation 2", e)
		}
	})
}
