package partition

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/trust"
)

// Slot is a slot as this process owns it, from when its body was first called
// to when it returned for good. Its methods may be called concurrently, and
// after that too.
type Slot struct {
	member *member
	number int
	token  uint64
	guard  backend.Guard
	window *trust.Window           // Strict only
	trace  *backend.OwnershipTrace // set before the body is first called

	held   context.Context // ends with the trust
	lose   context.CancelCauseFunc
	ctx    context.Context // the body's, of held
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the body has returned for good
	gaveUp bool          // set before done is closed
	// overran is closed when Run is to end for a body that does not return.
	overran chan struct{}
}

// Number returns which slot it is, from 0.
func (s *Slot) Number() int { return s.number }

// Token returns the fencing token: the epoch of the plan that gave the slot to
// this member. Every later owner has a higher one; a change of other slots does
// not raise it.
func (s *Slot) Token() uint64 { return s.token }

// Guard makes commits to the same Store depend on this ownership: they are
// applied only while this member's claims hold the slot with this token.
func (s *Slot) Guard() backend.Guard { return s.guard }

// Valid reports whether the ownership is trusted at this instant, and the body
// is not to end. It compares clocks and does no I/O, so it tells the truth right
// after a pause of the process too, when the body's context has not yet ended.
// Ask it before an effect that cannot be fenced.
func (s *Slot) Valid() bool {
	return s.ctx.Err() == nil && s.member.session.Valid() && (s.window == nil || s.window.Open())
}

// Drain returns a context under which a body may finish what it has begun after
// its own context has ended. Its own context ends because the slot moves
// (ErrMoved) or because Run ends. In that time the slot is still this member's,
// and the next owner waits. The context of Drain ends, with a cause that wraps
// ErrLost, when that no longer holds: if the session is over before the body
// has returned, nobody waits for it. It has the values of Run's context, and
// ends with the body at the latest.
func (s *Slot) Drain() context.Context { return s.held }

// begin runs slot k, which the own claims are known to hold with this token,
// unless the trust that it needs is gone by now.
func (m *member) begin(k int, token uint64) {
	letGo := m.session.Hold()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped != nil || !m.session.Valid() || m.window != nil && !m.window.Open() {
		letGo()
		return
	}
	s := &Slot{member: m, number: k, token: token, window: m.window, done: make(chan struct{}), overran: make(chan struct{})}
	s.held, s.lose = context.WithCancelCause(m.base)
	s.ctx, s.cancel = context.WithCancelCause(s.held)
	s.guard = m.store.NewGuard(token, []backend.Entry{m.own.entry(m.key)}, func(now map[string]backend.Entry) bool {
		c, err := decodeClaims(now[m.key])
		held, ok := uint64(0), false
		if err == nil {
			held, ok = c.slots[k]
		}
		return ok && held == token
	})
	unbind := context.AfterFunc(m.session.Context(), func() {
		s.lose(fmt.Errorf("%w: %w", ErrLost, context.Cause(m.session.Context())))
	})
	m.slots[k] = s
	m.bodies.Go(func() {
		defer m.returned(s)
		defer letGo()
		defer s.lose(nil)
		defer unbind()
		s.trace = m.store.TraceOwnership(m.subject(), k, token)
		defer s.nag()()
		s.own()
	})
}

// own calls the body until the ownership ends.
func (s *Slot) own() {
	m := s.member
	log := m.store.Logger().With("partition", m.name, "slot", s.number, "token", s.token)
	log.Debug("slot begins")
	var err error
	for failures := 0; s.ctx.Err() == nil; {
		began := time.Now()
		err = m.body(s.ctx, s)
		if s.ctx.Err() != nil {
			break
		}
		if time.Since(began) >= longRun {
			failures = 0
		}
		if failures++; m.opts.Restarts >= 0 && failures > m.opts.Restarts {
			log.Error("the body returned too often, the slot is given up", "times", failures, "error", err)
			s.gaveUp = true
			s.cancel(ErrGaveUp)
			break
		}
		log.Warn("the body returned before its context ended, and is started again", "times", failures, "error", err)
		_ = backend.Sleep(s.ctx, backoff(failures))
	}
	log.Debug("slot ends", "cause", context.Cause(s.ctx), "body", err)
	s.trace.End(context.Cause(s.ctx), err)
}

const (
	longRun     = time.Minute // after which a body that returns counts as the first
	backoffBase = 100 * time.Millisecond
	backoffCap  = 30 * time.Second
)

// backoff returns the pause after so many failures: half of it is at random.
func backoff(failures int) time.Duration {
	d := min(backoffBase<<min(failures-1, 16), backoffCap)
	return d/2 + rand.N(d/2)
}
