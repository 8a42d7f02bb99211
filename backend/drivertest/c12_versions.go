package drivertest

import (
	"github.com/quorate/quorate/backend/driver"
)

var versions = []named{
	{"unique-key-after-recreation", versionsUnique},
	{"restore", versionsRestore},
	{"reconnect", versionsReconnect},
}

// versionsUnique commits on a version from before a key was deleted and
// created again. The version alone may pass; beside a key with a unique name,
// which went at the same time, it must not.
func versionsUnique(s *suite) {
	d, other := s.open(), s.open()
	key, mark := s.key("a"), s.key("mark-1")
	v := s.apply(d, driver.Create(key, []byte("0")), driver.Create(mark, nil))
	s.apply(other, driver.Delete(key, s.there(other, key).Version), driver.Delete(mark, s.there(other, mark).Version))
	s.apply(other, driver.Create(key, []byte("1")), driver.Create(s.key("mark-2"), nil))
	result := s.commit(d, driver.Txn{
		Unchanged: []driver.Condition{{Key: mark, Version: v[1]}},
		Ops:       []driver.Op{driver.Put(key, []byte("late"), v[0])},
	})
	if e := s.there(other, key); result.Applied || string(e.Value) != "1" {
		s.Errorf("a commit on a mark that was deleted was applied: %v, value %q", result.Applied, e.Value)
	}
}

// versionsRestore puts the store back, lets the key change as often as before,
// so that the store's numbers come again, and commits on the versions from
// before.
func versionsRestore(s *suite) {
	d, other := s.open(), s.open()
	key, mark := s.key("a"), s.key("mark-1")
	kept := s.apply(d, driver.Create(key, []byte("0")))[0]
	generation, ended := d.Generation()
	if v := kept.Generation; v != generation {
		s.Errorf("Generation is %d, a version that was just written has %d", generation, v)
	}
	restore := s.env.Snapshot(s.TB)
	v := s.apply(d, driver.Put(key, []byte("before"), kept), driver.Create(mark, nil))
	for i := range 30 { // so that revisions surely go back
		s.apply(d, driver.Create(s.unique(i), nil))
	}
	restore()
	s.reach(d) // sees that revisions went back, if they did
	s.reach(other)

	select {
	case <-ended:
	default:
		s.Error("the store went back, and the channel of the generation before is not closed")
	}
	if now, _ := d.Generation(); now <= generation {
		s.Errorf("generation %d after the store went back, was %d", now, generation)
	}

	stale := func(what string, txn driver.Txn) {
		before := s.there(other, key)
		if result := s.commit(d, txn); result.Applied {
			s.Errorf("%s from before the restore was accepted", what)
		}
		if e := s.there(other, key); e.Modified != before.Modified || string(e.Value) != string(before.Value) {
			s.Errorf("%s from before the restore changed the key to %q", what, e.Value)
		}
	}
	guarded := driver.Txn{
		Unchanged: []driver.Condition{{Key: mark, Version: v[1]}},
		Ops:       []driver.Op{driver.Put(key, []byte("late"), v[0])},
	}
	stale("a version and a unique key", guarded)
	fresh := s.apply(other, driver.Put(key, []byte("after"), s.there(other, key).Version), driver.Create(s.key("mark-2"), nil))
	stale("a version, reached again", driver.Txn{Ops: []driver.Op{driver.Put(key, []byte("late"), v[0])}})
	stale("a version and a unique key", guarded)

	// What is read now is good, to the other and to the driver itself.
	s.apply(other, driver.Put(key, []byte("later"), fresh[0]))
	s.apply(d, driver.Put(key, []byte("last"), s.there(d, key).Version))
	if e := s.there(other, key); string(e.Value) != "last" {
		s.Errorf("the key is %q, want %q", e.Value, "last")
	}
}

// versionsReconnect loses the connection. A version from before may be
// refused, but then what is read anew must pass.
func versionsReconnect(s *suite) {
	d := s.open()
	key := s.key("a")
	old := s.apply(d, driver.Create(key, []byte("0")))[0]
	s.env.Cut(s.TB, d)
	s.env.Heal(s.TB, d)
	s.reach(d)
	fresh := s.there(d, key).Version
	if fresh.Generation < old.Generation || old.Generation == 0 {
		s.Errorf("generation %d after %d, want growing ones from 1", fresh.Generation, old.Generation)
	}
	result := s.commit(d, driver.Txn{Ops: []driver.Op{driver.Put(key, []byte("1"), old)}})
	if result.Applied != (fresh.Generation == old.Generation) {
		s.Errorf("a put on version %v was applied: %v; the key had %v", old, result.Applied, fresh)
	}
	version := s.there(d, key).Version
	if !result.Applied && result.Current[key].Version != version {
		s.Errorf("Current has version %v, want %v", result.Current[key].Version, version)
	}
	s.apply(d, driver.Put(key, []byte("2"), version))
}
