package drivertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
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

// held is a lease with keys in one directory.
type held struct {
	lease driver.Lease
	dir   string
	n     int
}

// hold grants a lease and creates n keys under it.
func (s *suite) hold(d driver.Driver, n int, p *trust) held {
	s.Helper()
	return s.holdIn(d, "held", n, p)
}

// holdIn is hold with a directory of one's own choice.
func (s *suite) holdIn(d driver.Driver, dir string, n int, p *trust) held {
	s.Helper()
	h := held{dir: s.key(dir), n: n}
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
// measures when its keys go. A machine that is too busy to renew in time breaks
// no promise, but cannot be so thrice.
func leaseKept(s *suite) {
	d, reader := s.open(), s.open()
	for i := range 3 {
		if s.keptOnce(d, reader, fmt.Sprintf("held-%d", i)) {
			return
		}
	}
	s.Error("a lease that is renewed all the time was not trusted for a while, in each of three attempts")
}

// keptOnce reports whether the lease was trusted all the time.
func (s *suite) keptOnce(d, reader driver.Driver, dir string) bool {
	var p trust
	h := s.holdIn(d, dir, 5, &p)
	for begin := time.Now(); time.Since(begin) < s.env.Expiry+s.env.TTL; {
		err := s.renew(s.Context(), h.lease, &p)
		n := len(s.list(reader, h.dir))
		until, _, _ := p.get()
		if time.Now().After(until) {
			return false
		}
		if n != h.n {
			s.Fatalf("%d keys of %d while the lease is renewed, %v before its promised end", n, h.n, time.Until(until))
		}
		if err != nil && !errors.Is(err, driver.ErrNotCounted) && !errors.Is(err, driver.ErrUnavailable) {
			s.Fatalf("Renew of a lease that is alive: %v", err)
		}
		pause(s.Context(), h.lease.TTL()/8)
	}
	until, _, n := p.get()
	if n < 4 {
		s.Errorf("%d renewals counted, want more", n)
	}
	if gone := s.gone(reader, h, time.Now().Add(s.env.Expiry+late)); gone.Before(until) {
		s.Errorf("the keys went %v before the end that the last renewal promised", until.Sub(gone))
	}
	s.eventually("Renew says that the lease is lost", func() bool {
		return errors.Is(s.renew(s.Context(), h.lease, &trust{}), driver.ErrSessionLost)
	})
	return true
}

// leaseUnanswered renews while requests or replies are lost: such a renewal
// must not succeed, and what others promised must hold.
func leaseUnanswered(s *suite) {
	reader := s.open()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, disturb := range []func(testing.TB, driver.Driver){s.env.Silence, s.env.Mute, s.env.Cut} {
		d := s.open()
		var p trust
		h := s.holdIn(d, fmt.Sprintf("held-%d", i), 1, &p)
		wg.Go(func() { s.goneInTime(reader, h, &p) })
		_ = s.renew(s.Context(), h.lease, &p)
		disturb(s.TB, d)
		if s.renew(s.Context(), h.lease, &p) == nil {
			s.Error("a renewal succeeded without a reply")
		}
		s.env.Heal(s.TB, d)
	}
}

// goneInTime waits until the keys are gone, neither before the promised end
// nor long after. It may be used on any goroutine.
func (s *suite) goneInTime(reader driver.Driver, h held, p *trust) {
	for ; ; pause(s.Context(), pace) {
		entries, err := s.tryRead(reader, driver.Dir(h.dir))
		now := time.Now()
		until, _, _ := p.get()
		switch {
		case err == nil && len(entries[0]) == 0:
			if now.Before(until) {
				s.Errorf("the keys went %v before the promised end", until.Sub(now))
			}
			return
		case now.After(until.Add(s.env.Expiry + late)):
			s.Errorf("the keys are still there at their latest end: %v", err)
			return
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
