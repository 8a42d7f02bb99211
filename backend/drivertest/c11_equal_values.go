package drivertest

import (
	"fmt"

	"github.com/quorate/quorate/backend/driver"
)

var equalValues = []named{{"put-of-equal-bytes", putEqual}}

// putEqual writes the same bytes again and again. Whether that is a change is
// the store's affair, but the versions must stay usable, and the next change
// must be seen.
func putEqual(s *suite) {
	d, other := s.open(), s.open()
	for _, value := range [][]byte{[]byte("same"), nil} {
		key := s.key(fmt.Sprintf("a%d", len(value)))
		w := s.watch(other, driver.Key(key))
		version := s.apply(d, driver.Create(key, value))[0]
		w.awaitValue(string(value))
		for range 5 {
			version = s.apply(d, driver.Put(key, value, version))[0]
		}
		if e := s.there(other, key); string(e.Value) != string(value) {
			s.Errorf("%q became %q", value, e.Value)
		}
		if e := s.there(d, key); e.Version != version {
			s.Errorf("version read %v, written %v", e.Version, version)
		}
		version = s.apply(d, driver.Put(key, []byte("other"), version))[0]
		w.awaitValue("other")
		version = s.apply(d, driver.Put(key, value, version))[0]
		w.awaitValue(string(value))
		s.apply(d, driver.Delete(key, version))
		w.awaitKeys()
	}
}
