package drivertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

var leases = []named{
	{"granted", leaseGranted},
	{"kept-then-expires", leaseKept},
	{"renewal-without-reply", leaseUnanswered},
	{"deposed-server", leaseDeposed},
	{"revoked-at-one-instant", leaseRevoked},
}

func leaseGranted(s *suite) {
	d := s.open()
	a, b := s.grant(d), s.open()
	other := s.grant(b)
	if a.ID() == "" || a.ID() == other.ID() {
		s.Errorf("the leases of two drivers are %q and %q, want unique ids", a.ID(), other.ID())
	}
	if a.TTL() < s.env.TTL {
		s.Errorf("a lease of %v was granted %v", s.env.TTL, a.TTL())
	}
	key := s.key("a")
	s.applyUnder(d, a, driver.CreateEphemeral(key, nil))
	if e := s.there(b, key); e.Lease != a.ID() {
		s.Errorf("the key's owner is %q, want %q", e.Lease, a.ID())
	}
	select {
	case <-a.Lost():
		s.Error("Lost is closed for a lease that is alive")
	default:
	}
}

// trust is what the successful renewals of a lease promise: its keys stay
// until each of these instants.
type trust struct {
	mu    sync.Mutex
	until time.Time
	start time.Time // of the renewal that promises the most
	n     int
}

func (p *trust) add(start time.Time, validFor time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	if until := start.Add(validFor); until.After(p.until) {
		p.until, p.start = until, start
	}
}

func (p *trust) get() (until, start time.Time, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until, p.start, p.n
}

// renew renews once, and notes what a success promises. It may be used on any
// goroutine.
func (s *suite) renew(ctx context.Context, lease driver.Lease, p *trust) error {
	ctx, cancel := context.WithTimeout(ctx, lease.TTL()/2)
	defer cancel()
	start := time.Now()
	validFor, err := lease.Renew(ctx)
	if err != nil {
		return err
	}
	if validFor > lease.TTL() {
		s.Errorf("a renewal is valid for %v, longer than the TTL of %v", validFor, lease.TTL())
	}
	if validFor > 0 {
		p.add(start, validFor)
	}
	return nil
}

// held is a lease with keys in one directory, and a watch on them.
type held struct {
	lease driver.Lease
	dir   string
	n     int
}

// hold grants a lease and creates n keys under it.
func (s *suite) hold(d driver.Driver, n int, p *trust) held {
	s.Helper()
	h := held{dir: s.key("held"), n: n}
	s.settle("Grant", func(ctx context.Context) (err error) {
		start := time.Now()
		if h.lease, err = d.Grant(ctx, s.env.TTL); err == nil && p != nil {
			p.add(start, h.lease.TTL())
		}
		return err
	})
	var ops []driver.Op
	for i := range n {
		ops = append(ops, driver.CreateEphemeral(fmt.Sprintf("%s/%d", h.dir, i), nil))
	}
	s.applyUnder(d, h.lease, ops...)
	return h
}

// gone reads until the keys are gone and returns the instant by which they
// were. They must go together, and within limit.
func (s *suite) gone(reader driver.Driver, h held, limit time.Time) time.Time {
	s.Helper()
	for {
		n := len(s.list(reader, h.dir))
		now := time.Now()
		switch {
		case n == 0:
			return now
		case n != h.n:
			s.Errorf("%d keys of %d are left: they did not go at one instant", n, h.n)
		case now.After(limit):
			s.Fatalf("the keys are still there at %v past their latest end", now.Sub(limit))
		}
		if !pause(s.Context(), pace) {
			s.Fatal("the test's context ended")
		}
	}
}

// late is what a read and a busy machine may add to Env.Expiry.
const late = 5 * time.Second

// leaseKept renews a lease for longer than it would live without, stops, and
// measures when its keys go.
func leaseKept(s *suite) {
	d, reader := s.open(), s.open()
	var p trust
	h := s.hold(d, 5, &p)
	for begin := time.Now(); time.Since(begin) < s.env.Expiry+s.env.TTL; {
		if err := s.renew(s.Context(), h.lease, &p); err != nil && (errors.Is(err, driver.ErrSessionLost) ||
			!errors.Is(err, driver.ErrNotCounted) && !errors.Is(err, driver.ErrUnavailable)) {
			s.Fatalf("Renew of a lease that is alive: %v", err)
		}
		if until, _, n := p.get(); time.Now().After(until) {
			s.Fatalf("a lease that is renewed all the time was not trusted for a while, after %d renewals", n)
		}
		if n := len(s.list(reader, h.dir)); n != h.n {
			s.Fatalf("%d keys of %d while the lease is renewed", n, h.n)
		}
		pause(s.Context(), h.lease.TTL()/8)
	}
	until, _, n := p.get()
	if n < 4 {
		s.Errorf("%d renewals counted, want more", n)
	}
	gone := s.gone(reader, h, time.Now().Add(s.env.Expiry+late))
	if gone.Before(until) {
		s.Errorf("the keys went %v before the end that the last renewal promised", until.Sub(gone))
	}
	s.eventually("Renew says that the lease is lost", func() bool {
		return errors.Is(s.renew(s.Context(), h.lease, &trust{}), driver.ErrSessionLost)
	})
}

// leaseUnanswered renews while requests or replies are lost: such a renewal
// must not succeed, unless the keys do stay for as long as it says.
func leaseUnanswered(s *suite) {
	for _, disturb := range []func(driver.Driver){
		func(d driver.Driver) { s.env.Silence(s.TB, d) },
		func(d driver.Driver) { s.env.Mute(s.TB, d) },
		func(d driver.Driver) { s.env.Cut(s.TB, d) },
	} {
		d, reader := s.open(), s.open()
		var p trust
		h := s.hold(d, 1, &p)
		_ = s.renew(s.Context(), h.lease, &p)
		disturb(d)
		err := s.renew(s.Context(), h.lease, &p)
		s.env.Heal(s.TB, d)
		if err == nil {
			s.Error("a renewal succeeded without a reply")
		}
		gone := s.gone(reader, h, time.Now().Add(s.env.Expiry+late))
		if until, _, _ := p.get(); gone.Before(until) {
			s.Errorf("the keys went %v before the promised end", until.Sub(gone))
		}
	}
}

// leaseDeposed renews through a server that is deposed meanwhile: what counts
// must hold.
func leaseDeposed(s *suite) {
	d, reader := s.open(), s.open()
	var p trust
	h := s.hold(d, 1, &p)
	_ = s.renew(s.Context(), h.lease, &p)
	s.env.Depose(s.TB, d, func() {
		for begin := time.Now(); time.Since(begin) < s.env.TTL/2; pause(s.Context(), pace) {
			if errors.Is(s.renew(s.Context(), h.lease, &p), driver.ErrSessionLost) {
				return
			}
		}
	})
	s.reach(reader)
	gone := s.gone(reader, h, time.Now().Add(2*s.env.Expiry+late))
	if until, start, n := p.get(); gone.Before(until) {
		s.Errorf("the keys went %v before the end that the renewal %v earlier promised, one of %d", until.Sub(gone), gone.Sub(start), n)
	}
}

// leaseRevoked revokes a lease with many keys, in two directories, and looks
// all the while for an instant at which only some of them are gone.
func leaseRevoked(s *suite) {
	d, reader := s.open(), s.open()
	h := s.hold(d, 12, nil)
	s.keep(h.lease)
	aside := s.key("aside/a")
	s.applyUnder(d, h.lease, driver.CreateEphemeral(aside, nil))
	stop := s.alongside(3, func() {
		all, err := s.tryRead(reader, driver.Key(aside), driver.Dir(h.dir))
		if err != nil {
			return
		}
		if n := len(all[1]); n != 0 && n != h.n || len(all[0]) == 0 && n != 0 {
			s.Errorf("%d keys of %d, and then %d of %d: they did not go at one instant", len(all[0]), 1, n, h.n)
		}
	})
	pause(s.Context(), 5*pace)
	s.settle("Revoke", h.lease.Revoke)
	if n := len(s.list(reader, h.dir)); n != 0 {
		s.Errorf("%d keys after the lease was revoked", n)
	}
	pause(s.Context(), 5*pace)
	stop()
	s.settle("Revoke of a lease that is gone", h.lease.Revoke)
	s.eventually("Renew says that the lease is lost", func() bool {
		return errors.Is(s.renew(s.Context(), h.lease, &trust{}), driver.ErrSessionLost)
	})
}
