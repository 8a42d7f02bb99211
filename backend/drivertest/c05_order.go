package drivertest

import (
	"fmt"

	"github.com/quorate/quorate/backend/driver"
)

var order = []named{
	{"created", orderCreated},
	{"modified", orderModified},
}

// orderCreated creates keys in several directories by turns.
func orderCreated(s *suite) {
	drivers := []driver.Driver{s.open(), s.open()}
	var last uint64
	for i := range 12 {
		dir := s.key(fmt.Sprintf("dir%d", i%3))
		a, b := fmt.Sprintf("%s/%d", dir, 100-i), s.key(fmt.Sprintf("tie%d", i))
		s.apply(drivers[i%2], driver.Create(a, nil), driver.Create(b, nil))
		ea, eb := s.there(drivers[0], a), s.there(drivers[1], b)
		if ea.Created != eb.Created {
			s.Errorf("keys of one commit have Created %d and %d", ea.Created, eb.Created)
		}
		if ea.Created <= last {
			s.Errorf("a key created later has Created %d, not above %d", ea.Created, last)
		}
		last = max(last, ea.Created)
	}
	// Created again is created later, and a change of content is no creation.
	key := s.key("tie0")
	first := s.there(drivers[0], key)
	s.apply(drivers[0], driver.Put(key, []byte("1"), first.Version))
	if e := s.there(drivers[1], key); e.Created != first.Created {
		s.Errorf("a put moved Created from %d to %d", first.Created, e.Created)
	}
	s.apply(drivers[0], driver.Delete(key, s.there(drivers[0], key).Version))
	s.apply(drivers[1], driver.Create(key, nil))
	if e := s.there(drivers[0], key); e.Created <= last {
		s.Errorf("a key created again has Created %d, not above %d", e.Created, last)
	}
}

func orderModified(s *suite) {
	drivers := []driver.Driver{s.open(), s.open()}
	names := []string{s.key("a"), s.key("b")}
	for _, key := range names {
		s.apply(drivers[0], driver.Create(key, nil))
	}
	var last uint64
	for i := range 12 {
		d, key := drivers[i/2%2], names[i%2]
		s.apply(d, driver.Put(key, fmt.Append(nil, i), s.there(d, key).Version))
		e := s.there(drivers[i%2], key)
		if e.Modified <= last || e.Modified < e.Created {
			s.Errorf("change %d has Modified %d, not above %d (Created %d)", i, e.Modified, last, e.Created)
		}
		last = max(last, e.Modified)
		if again := s.there(drivers[0], key); again.Modified != e.Modified {
			s.Errorf("a read moved Modified from %d to %d", e.Modified, again.Modified)
		}
	}
}
