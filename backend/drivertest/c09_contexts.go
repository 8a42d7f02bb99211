package drivertest

import (
	"context"
	"testing"

	"github.com/quorate/quorate/backend/driver"
)

var contexts = []named{
	{"silence", func(s *suite) { endCalls(s, s.env.Silence) }},
	{"mute", func(s *suite) { endCalls(s, s.env.Mute) }},
	{"cut", func(s *suite) { endCalls(s, s.env.Cut) }},
	{"never-connected", endNeverConnected},
}

// endCalls starts every kind of call on a disturbed connection and ends their
// context, by a deadline and by cancelling it.
func endCalls(s *suite, disturb func(testing.TB, driver.Driver)) {
	d := s.open()
	lease := s.grant(d)
	disturb(s.TB, d)
	s.endBothWays(d, lease)
	s.env.Heal(s.TB, d)
	s.reach(d)
	s.settle("Revoke", lease.Revoke)
}

func (s *suite) endBothWays(d driver.Driver, lease driver.Lease) {
	s.Helper()
	// A driver may end all calls under a lease once it is asked to revoke it,
	// so that comes last.
	methods := s.methods(d, lease, "deadline")
	last := len(methods) - 1
	for _, o := range s.endAll(methods[:last], false) {
		s.checkEnded(o, context.DeadlineExceeded)
	}
	for _, o := range s.endAll(s.methods(d, lease, "cancelled")[:last], true) {
		s.checkEnded(o, context.Canceled)
	}
	for _, o := range s.endAll(methods[last:], false) {
		s.checkEnded(o, context.DeadlineExceeded)
	}
}

// endNeverConnected is about a driver that has not reached the store yet: it
// may hang in a handshake. It has no lease.
func endNeverConnected(s *suite) {
	d := s.open()
	s.env.Silence(s.TB, d)
	var methods []method
	for _, m := range s.methods(d, nil, "never-connected") {
		switch m.name {
		case "Commit with a lease", "Renew", "Revoke":
		default:
			methods = append(methods, m)
		}
	}
	for _, o := range s.endAll(methods, false) {
		s.checkEnded(o, context.DeadlineExceeded)
	}
	s.env.Heal(s.TB, d)
	s.reach(d)
}
