package drivertest

import (
	"time"

	"github.com/quorate/quorate/backend/driver"
)

var ownership = []named{
	{"put-keeps-the-lease", ownPut},
	{"put-gives-no-lease", ownNone},
}

// ownPut puts an ephemeral key, by its owner and by another, and ends the
// lease: the key goes all the same.
func ownPut(s *suite) {
	d, other := s.open(), s.open()
	h := s.hold(d, 2, nil)
	s.keep(h.lease)
	for i, putter := range []driver.Driver{d, other, d} {
		for _, e := range s.list(putter, h.dir) {
			s.apply(putter, driver.Put(e.Key, []byte{byte(i)}, e.Version))
		}
		for _, e := range s.list(other, h.dir) {
			if e.Lease != h.lease.ID() {
				s.Errorf("after a put the owner is %q, want %q", e.Lease, h.lease.ID())
			}
		}
	}
	s.env.Expire(s.TB, h.lease)
	s.gone(other, h, time.Now().Add(s.env.Expiry+late))
}

// ownNone puts persistent keys in commits with a lease, alone and beside the
// creation of an ephemeral one, and ends the lease: they stay.
func ownNone(s *suite) {
	d, other := s.open(), s.open()
	h := s.hold(d, 1, nil)
	s.keep(h.lease)
	a, b, c := s.key("a"), s.key("b"), s.key("c")
	v := s.apply(d, driver.Create(a, nil), driver.Create(b, nil))
	s.apply(d, driver.Put(a, []byte("1"), v[0]))
	s.applyUnder(d, h.lease, driver.Put(b, []byte("1"), v[1]), driver.CreateEphemeral(s.key("held/beside"), nil), driver.Create(c, []byte("1")))
	h.n++
	s.env.Expire(s.TB, h.lease)
	s.gone(other, h, time.Now().Add(s.env.Expiry+late))
	for _, key := range []string{a, b, c} {
		if e := s.there(other, key); e.Lease != "" || string(e.Value) != "1" {
			s.Errorf("%q is %q of the lease %q, want it persistent", key, e.Value, e.Lease)
		}
	}
}
