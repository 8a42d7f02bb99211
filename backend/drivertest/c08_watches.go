package drivertest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/quorate/quorate/backend/driver"
)

var watches = []named{
	{"present-state-first", watchFirst},
	{"changes", watchChanges},
	{"expiry", watchExpiry},
	{"many-quick-changes", watchQuick},
	{"two-watches-of-one-target", watchTwice},
	{"cut", func(s *suite) { watchAcross(s, s.env.Cut, nil) }},
	{"silence", func(s *suite) { watchAcross(s, s.env.Silence, nil) }},
	{"mute", func(s *suite) { watchAcross(s, s.env.Mute, nil) }},
	{"forget", func(s *suite) { watchAcross(s, nil, s.env.Forget) }},
	{"forget-while-cut", func(s *suite) { watchAcross(s, s.env.Cut, s.env.Forget) }},
	{"restore", watchRestore},
}

// watchFirst starts watches of what is there and of what is not. The first
// state must be no older than the watch.
func watchFirst(s *suite) {
	d, other := s.open(), s.open()
	key := s.key("dir/a")
	s.watch(d, driver.Key(key)).awaitKeys()
	s.watch(d, driver.Dir(s.key("dir"))).awaitKeys()
	version := s.apply(other, driver.Create(key, []byte("0")))[0]
	for i := range 10 {
		want := strconv.Itoa(i + 1)
		version = s.apply(other, driver.Put(key, []byte(want), version))[0]
		for _, target := range []driver.Target{driver.Key(key), driver.Dir(s.key("dir"))} {
			w := s.watch(d, target)
			w.awaitValue(want)
			if first := w.seen()[0]; number(first) != int64(i+1) {
				s.Errorf("the first state of a watch was %v, older than the watch: want %s", first, want)
			}
			w.stop() // so that no watch runs while the key changes
		}
	}
}

// watchChanges follows each kind of change, one at a time.
func watchChanges(s *suite) {
	d, other := s.open(), s.open()
	dir, a, b := s.key("dir"), s.key("dir/a"), s.key("dir/b")
	onKey, onDir := s.watch(d, driver.Key(a)), s.watch(d, driver.Dir(dir))
	onKey.awaitKeys()
	onDir.awaitKeys()

	s.apply(other, driver.Create(a, []byte("0")))
	onKey.awaitValue("0")
	onDir.awaitValue("0")
	s.apply(other, driver.Put(a, []byte("1"), s.there(other, a).Version))
	onKey.awaitValue("1")
	onDir.awaitValue("1")
	s.apply(other, driver.Create(b, nil))
	onDir.awaitKeys(a, b)
	for range 3 { // by its own driver and by others
		s.apply(d, driver.Delete(a, s.there(d, a).Version))
		onKey.awaitKeys()
		onDir.awaitKeys(b)
		s.apply(other, driver.Create(a, []byte("2")))
		onKey.awaitValue("2")
		onDir.awaitKeys(a, b)
	}
	// Deleted and created at once: the watch may skip the gap, but must show
	// which of the two keys stands there in the end.
	s.apply(other, driver.Delete(a, s.there(other, a).Version))
	s.apply(other, driver.Create(a, []byte("3")))
	want := s.there(d, a)
	same := func(entries []driver.Entry) bool {
		return slices.ContainsFunc(entries, func(e driver.Entry) bool {
			return e.Key == a && e.Created == want.Created && e.Version == want.Version && e.Lease == "" && string(e.Value) == "3"
		})
	}
	onKey.await(fmt.Sprintf("the key created last, %v", want), same)
	onDir.await(fmt.Sprintf("the key created last, %v", want), same)
	// What a watch shows is fit for a condition.
	last := onKey.seen()
	s.apply(d, driver.Delete(a, last[len(last)-1][0].Version), driver.Delete(b, s.there(d, b).Version))
	onKey.awaitKeys()
	onDir.awaitKeys()
}

func watchExpiry(s *suite) {
	d, other := s.open(), s.open()
	h := s.hold(other, 3, nil)
	onDir, onKey := s.watch(d, driver.Dir(h.dir)), s.watch(d, driver.Key(h.dir+"/0"))
	var names []string
	for i := range h.n {
		names = append(names, fmt.Sprintf("%s/%d", h.dir, i))
	}
	s.keep(h.lease)
	onDir.awaitKeys(names...)
	onKey.awaitKeys(names[0])
	s.env.Expire(s.TB, h.lease)
	onDir.awaitKeys()
	onKey.awaitKeys()
}

// watchQuick makes changes faster than a watch can follow. It may skip some,
// but not go back, and not miss the last.
func watchQuick(s *suite) {
	d, other := s.open(), s.open()
	key := s.key("dir/a")
	onKey, onDir := s.watch(d, driver.Key(key)), s.watch(d, driver.Dir(s.key("dir")))
	version := s.apply(other, driver.Create(key, []byte("0")))[0]
	for i := range 150 {
		version = s.apply(other, driver.Put(key, []byte(strconv.Itoa(i+1)), version))[0]
		if i%30 == 0 { // so that a watch shows some on the way, whatever the clock
			pause(s.Context(), pace)
		}
	}
	for _, w := range []*watcher{onKey, onDir} {
		w.awaitValue("150")
		last := int64(-1)
		for _, state := range w.seen() {
			if n := number(state); n < last {
				s.Errorf("watch of %q went back from %d to %d", w.target.Path, last, n)
			} else {
				last = n
			}
		}
	}
	s.apply(other, driver.Delete(key, version))
	onKey.awaitKeys()
	onDir.awaitKeys()
}

// watchTwice ends one of two watches of the same target; the other goes on.
func watchTwice(s *suite) {
	d, other := s.open(), s.open()
	key := s.key("a")
	one, two := s.watch(d, driver.Key(key)), s.watch(d, driver.Key(key))
	one.awaitKeys()
	two.awaitKeys()
	s.apply(other, driver.Create(key, nil))
	one.awaitKeys(key)
	two.awaitKeys(key)
	one.stop()
	n := len(one.seen())
	s.apply(other, driver.Delete(key, driver.Version{}))
	two.awaitKeys()
	if len(one.seen()) != n {
		s.Error("a watch whose context ended went on")
	}
}

// watchAcross changes, deletes and creates keys while the watches cannot hear
// it, or their history is dropped, or both.
func watchAcross(s *suite, disturb func(testing.TB, driver.Driver), forget func(testing.TB)) {
	d, other := s.open(), s.open()
	dir := s.key("dir")
	name := func(n string) string { return dir + "/" + n }
	s.apply(other, driver.Create(name("changed"), []byte("0")), driver.Create(name("deleted"), nil),
		driver.Create(name("again"), []byte("0")), driver.Create(name("same"), nil))
	onDir := s.watch(d, driver.Dir(dir))
	onDir.awaitKeys(name("again"), name("changed"), name("deleted"), name("same"))
	onKey := map[string]*watcher{}
	for _, n := range []string{"changed", "deleted", "again", "new"} {
		onKey[n] = s.watch(d, driver.Key(name(n)))
		onKey[n].await("any state", func([]driver.Entry) bool { return true })
	}
	rounds := 2
	if forget != nil {
		rounds = 1 // it takes its time
	}
	for round := range rounds {
		if disturb != nil {
			disturb(s.TB, d)
		}
		value := strconv.Itoa(round + 1)
		s.apply(other, driver.Delete(name("deleted"), s.there(other, name("deleted")).Version))
		s.apply(other, driver.Delete(name("again"), s.there(other, name("again")).Version))
		s.apply(other, driver.Create(name("again"), []byte(value)))
		s.apply(other, driver.Put(name("changed"), []byte(value), s.there(other, name("changed")).Version))
		s.apply(other, driver.Create(name("new"), nil))
		if forget != nil {
			forget(s.TB)
		}
		if disturb != nil {
			s.env.Heal(s.TB, d)
		}
		onDir.awaitKeys(name("again"), name("changed"), name("new"), name("same"))
		onKey["changed"].awaitValue(value)
		onKey["deleted"].awaitKeys()
		onKey["again"].awaitValue(value)
		onKey["new"].awaitKeys(name("new"))

		// And the watches live on.
		s.reach(other)
		s.apply(other, driver.Create(name("deleted"), nil))
		s.apply(other, driver.Delete(name("new"), s.there(other, name("new")).Version))
		onDir.awaitKeys(name("again"), name("changed"), name("deleted"), name("same"))
		onKey["deleted"].awaitKeys(name("deleted"))
		onKey["new"].awaitKeys()
	}
}

// watchRestore puts the store back: what was deleted is there again, what was
// created is not, and later changes, at revisions that were there before, are
// not taken for old ones.
func watchRestore(s *suite) {
	d, other := s.open(), s.open()
	dir := s.key("dir")
	name := func(n string) string { return dir + "/" + n }
	version := s.apply(other, driver.Create(name("changed"), []byte("0")), driver.Create(name("deleted"), nil))[0]
	onDir, onKey := s.watch(d, driver.Dir(dir)), s.watch(d, driver.Key(name("changed")))
	restore := s.env.Snapshot(s.TB)
	for i := range 10 {
		version = s.apply(other, driver.Put(name("changed"), []byte(strconv.Itoa(i+1)), version))[0]
	}
	s.apply(other, driver.Create(name("new"), nil))
	s.apply(other, driver.Delete(name("deleted"), s.there(other, name("deleted")).Version))
	onDir.awaitKeys(name("changed"), name("new"))
	onKey.awaitValue("10")
	restore()
	onDir.awaitKeys(name("changed"), name("deleted"))
	onKey.awaitValue("0")
	s.reach(other)
	s.apply(other, driver.Put(name("changed"), []byte("again"), s.there(other, name("changed")).Version))
	onKey.awaitValue("again")
	s.apply(other, driver.Delete(name("deleted"), s.there(other, name("deleted")).Version))
	onDir.awaitKeys(name("changed"))
	s.apply(other, driver.Delete(name("changed"), s.there(other, name("changed")).Version))
	onDir.awaitKeys()
	onKey.awaitKeys()
}
