package election

import (
	"context"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/office"
)

// Leadership is one tenure of this process as the leader.
type Leadership struct{ tenure *office.Tenure }

// Term returns the number of this tenure, the fencing token. Every later tenure
// has a higher number.
func (l *Leadership) Term() uint64 { return l.tenure.Number() }

// Context ends when the leadership does: with a cause that wraps ErrLost and
// says why, or ErrResigned; under Run also with the caller's context. It ends
// by itself at the end of the session's trust window, before the store can
// give the office to another.
func (l *Leadership) Context() context.Context { return l.tenure.Context() }

// Valid reports whether the leadership is trusted at this instant. It compares
// clocks and does no I/O, so it tells the truth right after a pause of the
// process too, when Context has not yet ended. Ask it before an effect that
// cannot be fenced. It does not know how long until that effect happens.
func (l *Leadership) Valid() bool { return l.tenure.Valid() }

// Guard makes commits to the same Store depend on this leadership.
func (l *Leadership) Guard() backend.Guard { return l.tenure.Guard() }

// Confirm asks the store whether the leadership holds. If it does not, the error
// wraps ErrLost, and Context has ended. If the store does not answer, the error
// is backend.ErrUnavailable, and the leadership continues as long as it is
// trusted.
func (l *Leadership) Confirm(ctx context.Context) error { return l.tenure.Confirm(ctx) }

// Transfer hands the office to the waiting candidate with this ID; of several
// with the ID, to the first. It ends the leadership as Resign does, with one
// commit that names the successor: that one is served before all others as long as
// it waits. The gap is that of an ordinary hand-over, and one read.
//
// For a leadership of Campaign, call it when the work done under Context has
// stopped, as with Resign; its result is that of Resign. Under Run, call it from
// anywhere: it ends Context and returns. Run gives up the office once the body has
// returned, and campaigns again.
//
// If the leadership continues, the error is ErrNoCandidate, ErrPriorities,
// backend.ErrUnavailable, ErrDenied or ErrClosed. If it was over before, the error
// says why. If the candidate leaves the queue before the commit, the next one in the
// queue leads.
func (l *Leadership) Transfer(ctx context.Context, id string) error {
	return l.tenure.Transfer(ctx, id)
}

// Resign ends the leadership and gives up the office. Call it when the work
// done under Context has stopped: the next leader starts at once. If the
// leadership is lost already, Resign removes what is left of it.
//
// A nil error means that nothing of this tenure is in the way of the next. Any
// other error says which keys are left: they are removed in the background, or
// go with the session. Resign returns when the session ends, at the latest. If
// ctx ends with the leadership itself, Resign has two seconds. A later call
// waits for the first and returns the same.
func (l *Leadership) Resign(ctx context.Context) error { return l.tenure.End(ctx) }
