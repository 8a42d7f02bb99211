package backend

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/trust"
)

// Session is one lease of this process at the store, with its trust window:
// the time during which this process may rely on the lease being there.
//
// The window ends at
//
//	start of the last renewal that counts + how long it holds - margin
//
// on the monotonic clock or on the wall clock, whichever gets there first.
// Because it is measured from the start of the call, a reply that was delayed
// is harmless; because the store keeps the lease longer than that, what runs
// under Context has ended before anyone else can start. A window that has
// closed never opens again.
//
// A Session is shared by all that uses its Store.
type Session struct {
	lease  driver.Lease
	margin time.Duration

	ctx context.Context
	end context.CancelCauseFunc

	deadline atomic.Pointer[trust.Instant]

	mu      sync.Mutex // orders extend, check and end
	timer   *time.Timer
	holders int
	idle    chan struct{} // closed while there are no holders
}

// newSession returns a session whose lease was granted by a call that began at
// start. Its context does not descend from a caller's: it ends with the trust.
func newSession(lease driver.Lease, start trust.Instant, margin time.Duration) *Session {
	s := &Session{lease: lease, margin: margin, idle: make(chan struct{})}
	close(s.idle)
	s.ctx, s.end = context.WithCancelCause(context.Background())
	deadline := start.Add(lease.TTL() - margin)
	s.deadline.Store(&deadline)
	s.mu.Lock()
	s.timer = time.AfterFunc(s.nextCheck(), s.check)
	s.mu.Unlock()
	return s
}

// ID returns the lease's ID, for Txn.Lease and to compare with Entry.Lease.
func (s *Session) ID() string { return s.lease.ID() }

// TTL returns the TTL that the store granted.
func (s *Session) TTL() time.Duration { return s.lease.TTL() }

// Margin returns what is taken off each window.
func (s *Session) Margin() time.Duration { return s.margin }

// Context ends when the session is over for this process, at the end of its
// trust window at the latest, whether the store can be asked or not. Its cause
// wraps ErrSessionLost, or is ErrClosed.
func (s *Session) Context() context.Context { return s.ctx }

// Valid reports whether the session is trusted at this instant. It compares
// clocks and does no I/O: after a pause of the whole process it tells the
// truth even before Context has ended.
func (s *Session) Valid() bool {
	return !s.deadline.Load().Passed(trust.Now()) && s.ctx.Err() == nil
}

// TrustLeft returns how long the session will be trusted without a further
// renewal; not positive when it is over.
func (s *Session) TrustLeft() time.Duration {
	if s.ctx.Err() != nil {
		return 0
	}
	return s.deadline.Load().Until(trust.Now())
}

// Hold says that something runs on the strength of the session; the session is
// not revoked, though it may end and expire, until release is called. Whoever
// runs a body holds the session until the body has returned.
func (s *Session) Hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders == 0 {
		s.idle = make(chan struct{})
	}
	s.holders++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.holders--; s.holders == 0 {
			close(s.idle)
		}
	})
}

// unheld is closed once nobody holds the session.
func (s *Session) unheld() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idle
}

// extend counts a renewal that began at start. It reports false when the
// window had closed before the renewal began, or has since: then the renewal
// proves nothing about the time between.
func (s *Session) extend(start trust.Instant, validFor time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.deadline.Load()
	if s.ctx.Err() != nil || old.Passed(start) || old.Passed(trust.Now()) {
		return false
	}
	deadline := start.Add(validFor - s.margin)
	if deadline.Sub(*old) > 0 {
		s.deadline.Store(&deadline)
	}
	return true
}

// check ends the session when its window has closed, on a timer of its own.
func (s *Session) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	if s.deadline.Load().Passed(trust.Now()) {
		s.end(fmt.Errorf("%w: no renewal counted within the trust window", ErrSessionLost))
		return
	}
	s.timer.Reset(s.nextCheck())
}

// nextCheck is no further away than the margin: a timer runs on the monotonic
// clock, and the wall clock may get ahead of it.
func (s *Session) nextCheck() time.Duration {
	return min(s.margin, max(s.deadline.Load().Until(trust.Now()), 0))
}

// over ends the session for a reason known before its window closed.
func (s *Session) over(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
	s.end(cause)
}

// expiry returns the time until the lease may expire at the store.
func (s *Session) expiry() time.Duration {
	return s.deadline.Load().Add(s.margin).Until(trust.Now())
}
