package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// lease is the client's side of a lease. It outlives the driver's connection,
// and is over for good once lost is closed.
type lease struct {
	driver *Driver
	id     string
	ttl    time.Duration
	lost   chan struct{}
	told   bool // lost is closed
}

// grant is the store's side of a lease.
type grant struct {
	lease    *lease
	keys     map[string]struct{}
	deadline time.Time
	timer    *time.Timer
}

// Grant implements driver.Driver. Any TTL above zero is granted as it is.
func (d *Driver) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("%w: TTL %v", driver.ErrInvalid, ttl)
	}
	return call(ctx, d, grants, driver.ErrUnavailable, func() (driver.Lease, error) {
		s := d.server
		s.granted++
		l := &lease{driver: d, id: fmt.Sprintf("lease-%d", s.granted), ttl: ttl, lost: make(chan struct{})}
		s.begin(l)
		return l, nil
	})
}

func (l *lease) ID() string            { return l.id }
func (l *lease) TTL() time.Duration    { return l.ttl }
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Renew implements driver.Lease. What it returns on success is the TTL: the
// lease ends that long after the renewal took effect, which is no earlier than
// the call's start.
func (l *lease) Renew(ctx context.Context) (time.Duration, error) {
	d := l.driver
	d.server.mu.Lock()
	deposed := d.link == deposed && d.unsent(ctx) == nil
	if deposed {
		d.count(renewals)
	}
	d.server.mu.Unlock()
	if deposed {
		return 0, fmt.Errorf("%w: the server no longer leads", driver.ErrNotCounted)
	}
	return call(ctx, d, renewals, driver.ErrUnavailable, func() (time.Duration, error) {
		g := d.server.leases[l.id]
		if g == nil || l.told {
			if d.link == up {
				l.tell()
			}
			return 0, fmt.Errorf("%w: lease %s", driver.ErrSessionLost, l.id)
		}
		d.server.prolong(g)
		return l.ttl, nil
	})
}

// Revoke implements driver.Lease.
func (l *lease) Revoke(ctx context.Context) error {
	_, err := call(ctx, l.driver, revokes, driver.ErrUnavailable, func() (struct{}, error) {
		if g := l.driver.server.leases[l.id]; g != nil {
			l.driver.server.end(g)
		}
		return struct{}{}, nil
	})
	return err
}

// Expire ends a lease before its time, and reports whether it was alive.
func (s *Server) Expire(leaseID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.leases[leaseID]
	if g == nil {
		return false
	}
	s.end(g)
	return true
}

// begin puts a lease into force, with its full TTL.
func (s *Server) begin(l *lease) {
	g := &grant{lease: l, keys: map[string]struct{}{}}
	g.timer = time.AfterFunc(l.ttl, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		// The timer may have fired just before it was stopped or set anew.
		if s.leases[l.id] == g && !s.down && !time.Now().Before(g.deadline) {
			s.end(g)
		}
	})
	s.leases[l.id] = g
	s.prolong(g)
}

// prolong gives a lease its full TTL from now; while the store is down it
// waits for SetDown to do so.
func (s *Server) prolong(g *grant) {
	g.timer.Stop()
	g.deadline = time.Now().Add(g.lease.ttl)
	if !s.down {
		g.timer.Reset(g.lease.ttl)
	}
}

// end ends a lease and deletes its keys, all at one revision. The client is
// told if its connection is up; if not, its next renewal finds out.
func (s *Server) end(g *grant) {
	g.timer.Stop()
	delete(s.leases, g.lease.id)
	if len(g.keys) > 0 {
		s.revision++
	}
	for key := range g.keys {
		s.remove(key)
	}
	g.lease.notice()
}

// notice tells the client that the lease is gone, if it can hear it.
func (l *lease) notice() {
	if d := l.driver; d.link == up && !d.server.down {
		l.tell()
	}
}

func (l *lease) tell() {
	if !l.told {
		l.told = true
		close(l.lost)
	}
}
