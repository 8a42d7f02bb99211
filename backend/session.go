package backend

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/trust"
)

// Session is one lease of this process at the store, with its trust window: the
// time in which this process may rely on the lease.
//
// The window ends at
//
//	start of the last renewal that counts + how long it holds - margin
//
// on the monotonic clock or on the wall clock, whichever is first. It is
// measured from the start of the call, so a delayed reply does no harm. The
// store keeps the lease longer than the window. So code under Context has ended
// before another process can start. A window that has closed never opens again.
//
// A Session is shared by all users of its Store.
type Session struct {
	lease  driver.Lease
	margin time.Duration
	window *trust.Window
	// generation is the driver's, from before the lease was granted: in a later
	// one a restore may have brought keys of the session back.
	generation uint64

	ctx context.Context
	end context.CancelCauseFunc

	gone     chan struct{} // closed when the store has reported the lease lost
	goneOnce sync.Once

	mu      sync.Mutex // guards the fields below
	holders int
	idle    chan struct{} // closed while there are no holders
}

// newSession returns a session whose lease was granted by a call that began at
// start. Its context does not descend from a caller's: it ends with the trust.
func newSession(lease driver.Lease, start trust.Instant, margin time.Duration) *Session {
	s := &Session{lease: lease, margin: margin, idle: make(chan struct{}), gone: make(chan struct{})}
	close(s.idle)
	s.ctx, s.end = context.WithCancelCause(context.Background())
	s.window = trust.NewWindow(start.Add(lease.TTL()-margin), margin, func() {
		s.end(fmt.Errorf("%w: no renewal counted within the trust window", ErrSessionLost))
	})
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
func (s *Session) Valid() bool { return s.window.Open() }

// TrustLeft returns how long the session will be trusted without a further
// renewal; not positive when it is over.
func (s *Session) TrustLeft() time.Duration { return s.window.Left() }

// Hold keeps the session from being revoked until release is called. The
// session may still end and expire. Each caller that runs a body holds the
// session until the body has returned. Call Hold first and Valid after it: a
// session that is over may be about to be revoked.
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

// extend counts a renewal that began at start and holds for validFor, and
// reports whether it could: not if the window has closed.
func (s *Session) extend(start trust.Instant, validFor time.Duration) bool {
	return s.window.Extend(start, start.Add(validFor-s.margin))
}

// over ends the session for a reason known before its window closed.
func (s *Session) over(cause error) {
	s.window.Close()
	s.end(cause)
}

// lost ends the session because the store reported its lease lost: its keys are
// gone.
func (s *Session) lost(cause error) {
	s.goneOnce.Do(func() { close(s.gone) })
	s.over(cause)
}

// reportedLost reports whether the store has reported the lease lost.
func (s *Session) reportedLost() bool {
	select {
	case <-s.gone:
		return true
	case <-s.lease.Lost():
		return true
	default:
		return false
	}
}

// expiry returns the time until the lease may expire at the store. Unlike trust
// it goes by the monotonic clock alone, which never runs ahead: it is what
// permits a revoke under those who have not stopped yet, and the store has not
// seen the wall clock of this machine being stepped.
func (s *Session) expiry() time.Duration {
	return s.window.Deadline().Add(s.margin).Sub(trust.Now())
}
