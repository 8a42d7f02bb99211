package drivertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

var deadLeases = []named{
	{"expired", deadExpired},
	{"revoked", deadRevoked},
	{"queued-while-cut", func(s *suite) { deadQueued(s, s.env.Cut) }},
	{"queued-while-silent", func(s *suite) { deadQueued(s, s.env.Silence) }},
}

// dead commits under a lease that is gone until the driver says so, which must
// happen in the end, and then looks for what these commits left.
func (s *suite) dead(d, other driver.Driver, lease driver.Lease) {
	s.Helper()
	var tried []string
	s.eventually("a commit fails with ErrSessionLost", func() bool {
		key := s.unique(len(tried))
		tried = append(tried, key)
		var result driver.Result
		err := bounded(s.Context(), func(ctx context.Context) (err error) {
			result, err = d.Commit(ctx, driver.Txn{Lease: lease.ID(), Ops: []driver.Op{
				driver.CreateEphemeral(key, nil), driver.Create(key+"-persistent", nil),
			}})
			return err
		})
		if err == nil {
			s.Fatalf("a commit under a lease that is gone was answered: %+v", result)
		}
		return errors.Is(err, driver.ErrSessionLost)
	})
	s.eventually("Renew fails with ErrSessionLost", func() bool {
		return errors.Is(s.renew(s.Context(), lease, &trust{}), driver.ErrSessionLost)
	})
	s.stays("no key of a commit under a lease that is gone", time.Second, func() bool {
		return len(s.list(other, s.env.Prefix)) == 0
	})
	s.settle("Revoke of a lease that is gone", lease.Revoke)
	// The driver can go on with another lease.
	h := s.hold(d, 1, nil)
	if h.lease.ID() == lease.ID() {
		s.Errorf("the id %q was used again", lease.ID())
	}
	s.settle("Revoke", h.lease.Revoke)
}

func deadExpired(s *suite) {
	d, other := s.open(), s.open()
	h := s.hold(d, 2, nil)
	s.keep(h.lease)
	s.env.Expire(s.TB, h.lease)
	s.gone(other, h, time.Now().Add(s.env.Expiry+late))
	s.dead(d, other, h.lease)
}

func deadRevoked(s *suite) {
	d, other := s.open(), s.open()
	h := s.hold(d, 2, nil)
	s.settle("Revoke", h.lease.Revoke)
	s.dead(d, other, h.lease)
}

// deadQueued starts commits while nothing goes through, ends the lease, and
// heals the connection: whatever was queued must not be applied, to no lease.
func deadQueued(s *suite, disturb func(testing.TB, driver.Driver)) {
	d, other := s.open(), s.open()
	h := s.hold(d, 2, nil)
	disturb(s.TB, d)
	const commits = 3
	answers := make(chan struct{}, commits)
	for i := range commits {
		go func() {
			ctx, cancel := context.WithTimeout(s.Context(), 2*s.env.Expiry+late)
			defer cancel()
			result, err := d.Commit(ctx, driver.Txn{Lease: h.lease.ID(), Ops: []driver.Op{driver.CreateEphemeral(s.key(fmt.Sprintf("queued-%d", i)), nil)}})
			if err == nil {
				s.Errorf("a commit under a lease that is gone was answered: %+v", result)
			}
			answers <- struct{}{}
		}()
	}
	pause(s.Context(), 20*pace) // time to queue
	s.env.Expire(s.TB, h.lease)
	s.gone(other, h, time.Now().Add(s.env.Expiry+late))
	s.env.Heal(s.TB, d)
	for range commits {
		select {
		case <-answers:
		case <-time.After(patience + 2*s.env.Expiry):
			s.Fatal("Commit did not return")
		}
	}
	s.dead(d, other, h.lease)
}
