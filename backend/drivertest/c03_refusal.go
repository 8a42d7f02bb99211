package drivertest

import (
	"bytes"

	"github.com/quorate/quorate/backend/driver"
)

// refusals are the conditions that can fail, each tried with an operation
// beside it that could be applied.
var refusal = append([]named{
	{"conditions-alone", refuseConditionsAlone},
	{"blind-delete", blindDelete},
	{"versions-returned", versionsReturned},
}, refusals(map[string]func(there, absent string, stale driver.Version) driver.Txn{
	"condition-on-an-absent-key": func(_, absent string, stale driver.Version) driver.Txn {
		return driver.Txn{Unchanged: []driver.Condition{{Key: absent, Version: stale}}}
	},
	"condition-on-a-changed-key": func(there, _ string, stale driver.Version) driver.Txn {
		return driver.Txn{Unchanged: []driver.Condition{{Key: there, Version: stale}}}
	},
	"create-of-a-key-that-is-there": func(there, _ string, _ driver.Version) driver.Txn {
		return driver.Txn{Ops: []driver.Op{driver.Create(there, []byte("new"))}}
	},
	"put-of-an-absent-key": func(_, absent string, stale driver.Version) driver.Txn {
		return driver.Txn{Ops: []driver.Op{driver.Put(absent, []byte("new"), stale)}}
	},
	"put-of-a-changed-key": func(there, _ string, stale driver.Version) driver.Txn {
		return driver.Txn{Ops: []driver.Op{driver.Put(there, []byte("new"), stale)}}
	},
	"delete-of-an-absent-key": func(_, absent string, stale driver.Version) driver.Txn {
		return driver.Txn{Ops: []driver.Op{driver.Delete(absent, stale)}}
	},
	"delete-of-a-changed-key": func(there, _ string, stale driver.Version) driver.Txn {
		return driver.Txn{Ops: []driver.Op{driver.Delete(there, stale)}}
	},
})...)

func refusals(txns map[string]func(there, absent string, stale driver.Version) driver.Txn) []named {
	var all []named
	for _, name := range sortedKeys(txns) {
		all = append(all, named{name, func(s *suite) { refuse(s, txns[name]) }})
	}
	return all
}

// refuse commits what must be refused, with operations before and after it,
// and looks whether any of it was applied.
func refuse(s *suite, txn func(there, absent string, stale driver.Version) driver.Txn) {
	d, other := s.open(), s.open()
	there, absent, good, created := s.key("there"), s.key("absent"), s.key("good"), s.key("created")
	v := s.apply(d, driver.Create(there, []byte("0")), driver.Create(good, []byte("0")))
	stale := v[0]
	fresh := s.apply(d, driver.Put(there, []byte("1"), stale))[0]
	if fresh == stale {
		s.Fatalf("a put left the version at %v", fresh)
	}

	bad := txn(there, absent, stale)
	bad.Ops = append([]driver.Op{driver.Put(good, []byte("new"), v[1])}, bad.Ops...)
	bad.Ops = append(bad.Ops, driver.Create(created, nil))
	result := s.commit(d, bad)
	if result.Applied {
		s.Error("the commit was applied")
	}
	for _, reader := range []driver.Driver{d, other} {
		if e := s.there(reader, there); string(e.Value) != "1" || e.Modified != s.there(d, there).Modified {
			s.Errorf("the key that is there changed to %q", e.Value)
		}
		if e := s.there(reader, good); string(e.Value) != "0" {
			s.Errorf("an operation before the failed condition was applied: %q", e.Value)
		}
		s.absent(reader, absent, "the commit was refused")
		s.absent(reader, created, "the commit was refused")
	}

	named := map[string]bool{}
	for _, c := range bad.Unchanged {
		named[c.Key] = true
	}
	for _, op := range bad.Ops {
		named[op.Key] = true
	}
	for key := range named {
		want, ok := s.get(d, key)
		got, in := result.Current[key]
		if in != ok || got.Key != want.Key || !bytes.Equal(got.Value, want.Value) || got.Version != want.Version ||
			got.Created != want.Created || got.Modified != want.Modified {
			s.Errorf("Current of %q is %v (%v), want %v (%v)", key, got, in, want, ok)
		}
	}
	for key := range result.Current {
		if !named[key] {
			s.Errorf("Current has %q, which the commit does not name", key)
		}
	}
}

func refuseConditionsAlone(s *suite) {
	d := s.open()
	key := s.key("a")
	old := s.apply(d, driver.Create(key, []byte("0")))[0]
	alone := func(v driver.Version) driver.Result {
		return s.commit(d, driver.Txn{Unchanged: []driver.Condition{{Key: key, Version: v}}})
	}
	if r := alone(old); !r.Applied || len(r.Versions) != 0 {
		s.Errorf("a condition that holds, alone: %+v", r)
	}
	fresh := s.apply(d, driver.Put(key, []byte("1"), old))[0]
	if r := alone(old); r.Applied || string(r.Current[key].Value) != "1" || r.Current[key].Version != fresh {
		s.Errorf("a condition that does not hold, alone: %+v", r)
	}
	s.apply(d, driver.Delete(key, fresh))
	if r := alone(fresh); r.Applied || len(r.Current) != 0 {
		s.Errorf("a condition on a key that was deleted, alone: %+v", r)
	}
}

func blindDelete(s *suite) {
	d := s.open()
	key := s.key("a")
	s.apply(d, driver.Delete(key, driver.Version{})) // finds nothing, and is content
	s.apply(d, driver.Create(key, nil))
	s.apply(d, driver.Delete(key, driver.Version{}))
	s.absent(d, key, "it was deleted")
}

// versionsReturned compares the versions of a commit with what is read.
func versionsReturned(s *suite) {
	d := s.open()
	a, b, c := s.key("a"), s.key("b"), s.key("c")
	v := s.apply(d, driver.Create(c, []byte("0")), driver.Create(a, []byte("0")))
	w := s.apply(d, driver.Put(a, []byte("1"), v[1]), driver.Delete(c, v[0]), driver.Create(b, []byte("0")))
	if w[0] != s.there(d, a).Version || !w[1].IsZero() || w[2] != s.there(d, b).Version {
		s.Errorf("versions %v of put, delete and create; read: %v, none, %v", w, s.there(d, a).Version, s.there(d, b).Version)
	}
	if w[0] == v[1] {
		s.Error("a put left the version as it was")
	}
	s.apply(d, driver.Put(a, []byte("2"), w[0]), driver.Put(b, []byte("1"), w[2]))
}
