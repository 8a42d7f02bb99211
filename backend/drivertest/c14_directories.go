package drivertest

import (
	"slices"

	"github.com/quorate/quorate/backend/driver"
)

var directories = []named{
	{"direct-children-only", dirChildren},
	{"parents-are-no-keys", dirParents},
	{"names", dirNames},
	{"watch", dirWatch},
}

// dirChildren has neighbours of a directory whose paths begin like its own.
func dirChildren(s *suite) {
	d, other := s.open(), s.open()
	in := []string{s.key("a/1"), s.key("a/2")}
	for _, key := range append([]string{
		s.key("ab"), s.key("a-"), s.key("a.b/1"), s.key("a0"), s.key("a%2F1"), s.key("a~/1"), s.key("a/sub/1"), s.key("a/10/x/y"), s.key("b/1"),
	}, in...) {
		s.apply(d, driver.Create(key, nil))
	}
	if got := keys(s.list(other, s.key("a"))); !slices.Equal(got, in) {
		s.Errorf("children of the directory: %q, want %q", got, in)
	}
	if got, want := keys(s.list(other, s.key("a/10/x"))), []string{s.key("a/10/x/y")}; !slices.Equal(got, want) {
		s.Errorf("children of a deeper directory: %q, want %q", got, want)
	}
	if e, ok := s.get(other, s.key("a/1")); !ok || e.Key != s.key("a/1") {
		s.Errorf("a key beside longer ones: %v, %v", e, ok)
	}
}

// dirParents looks for the directories themselves, while they have keys and
// when these are gone.
func dirParents(s *suite) {
	d, other := s.open(), s.open()
	key := s.key("p/q/r/a")
	lease := s.grant(d)
	s.keep(lease)
	look := func() {
		for _, dir := range []string{"p", "p/q", "p/q/r"} {
			s.absent(other, s.key(dir), "it is a directory")
		}
		for _, dir := range []string{s.env.Prefix, s.key("p"), s.key("p/q")} {
			if got := s.list(other, dir); len(got) != 0 {
				s.Errorf("%q has the keys %q, want only directories", dir, keys(got))
			}
		}
	}
	look()
	for _, ephemeral := range []bool{false, true} {
		if ephemeral {
			s.applyUnder(d, lease, driver.CreateEphemeral(key, nil))
		} else {
			s.apply(d, driver.Create(key, nil))
		}
		look()
		if got := keys(s.list(other, s.key("p/q/r"))); !slices.Equal(got, []string{key}) {
			s.Errorf("the directory has %q, want %q", got, key)
		}
		s.apply(d, driver.Delete(key, s.there(d, key).Version))
		look()
		if got := s.list(other, s.key("p/q/r")); len(got) != 0 {
			s.Errorf("the empty directory has %q", keys(got))
		}
	}
	// A condition on a directory is one on an absent key.
	result := s.commit(d, driver.Txn{Unchanged: []driver.Condition{{Key: s.key("p"), Version: driver.Version{Generation: 1}}}})
	if len(result.Current) != 0 || result.Applied {
		s.Errorf("condition on a directory: %+v, want a refusal that shows no key", result)
	}
	// A refused or invalid commit below a directory leaves no key either.
	refused := s.commit(d, driver.Txn{Ops: []driver.Op{driver.Create(s.key("t/u/a"), nil), driver.Put(s.key("none"), nil, driver.Version{Generation: 1})}})
	if refused.Applied {
		s.Error("a put of an absent key was applied")
	}
	s.absent(other, s.key("t"), "it was never created")
	s.absent(other, s.key("t/u"), "it was never created")
}

// dirNames uses every byte that a name may have, and looks at the order.
func dirNames(s *suite) {
	d, other := s.open(), s.open()
	want := []string{"%2F", "-", "...", ".a", "0", "A", "Z", "_", "a", "a%2Fb", "a-", "a.b", "aa", "z", "~", "~~"}
	var ops []driver.Op
	for i := range want {
		want[i] = s.key("names/" + want[i])
		ops = append(ops, driver.Create(want[i], []byte(want[i])))
	}
	slices.Sort(want)
	slices.Reverse(ops)
	s.apply(d, ops...)
	entries := s.list(other, s.key("names"))
	if got := keys(entries); !slices.Equal(got, want) {
		s.Errorf("names %q, want %q", got, want)
	}
	for _, e := range entries {
		if string(e.Value) != e.Key {
			s.Errorf("%q has the value %q", e.Key, e.Value)
		}
		if one := s.there(other, e.Key); one.Version != e.Version || one.Created != e.Created || one.Modified != e.Modified {
			s.Errorf("%q reads as %v alone and as %v in its directory", e.Key, one, e)
		}
	}
}

// dirWatch watches a directory and a key with neighbours; in the end both show
// their own only, and never showed anything else.
func dirWatch(s *suite) {
	d, other := s.open(), s.open()
	onDir, onKey := s.watch(d, driver.Dir(s.key("a"))), s.watch(d, driver.Key(s.key("a/1")))
	onDir.awaitKeys()
	onKey.awaitKeys()
	for _, name := range []string{"ab", "a0/1", "a/1-", "a/sub/1", "a/10/1", "a.b/1", "a/1"} {
		s.apply(other, driver.Create(s.key(name), nil))
	}
	onDir.awaitKeys(s.key("a/1"), s.key("a/1-"))
	onKey.awaitKeys(s.key("a/1"))
	for _, state := range append(onDir.seen(), onKey.seen()...) {
		for _, e := range state {
			if e.Key != s.key("a/1") && e.Key != s.key("a/1-") {
				s.Errorf("a watch showed %q", e.Key)
			}
		}
	}
	for _, state := range onKey.seen() {
		if len(state) > 1 {
			s.Errorf("the watch of a key showed %q", keys(state))
		}
	}
}
