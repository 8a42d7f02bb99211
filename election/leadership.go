package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/trust"
)

// Leadership is one tenure of this process as the leader.
type Leadership struct {
	election *Election
	session  *backend.Session
	nonce    string
	guard    backend.Guard
	window   *trust.Window // Strict only
	trace    *backend.OwnershipTrace
	claim    *claim

	ctx    context.Context
	cancel context.CancelCauseFunc
	upkeep sync.WaitGroup
	unbind func() bool // from the session's context
	letGo  func()      // of the session
	lost   atomic.Bool // by itself: the caller's context may be that of another leadership, which was lost
	logged atomic.Bool // the end

	mu   sync.Mutex // guards hold
	hold holding

	once  sync.Once
	err   error  // of the first Resign
	ended func() // what follows the end, if Campaign made it
}

// holding is what a leader has in the store. The spare's version is zero if
// that is gone: it is no part of the proof.
type holding struct {
	tenure
	leader, mark backend.Entry
	spare        backend.Version
}

// lead begins the leadership that hold stands for, unless the trust that it
// needs is gone by now: start is when the commit or the read began that proved
// it.
func (c *candidate) lead(hold holding, start trust.Instant) *Leadership {
	l := &Leadership{
		election: c.Election, session: c.session, nonce: c.nonce, hold: hold,
		letGo: c.session.Hold(), ended: c.ended, claim: c.claim,
	}
	if !c.session.Valid() || c.opts.Strict && start.Add(l.span()).Passed(trust.Now()) {
		l.letGo()
		return nil
	}
	l.ctx, l.cancel = context.WithCancelCause(c.base)
	l.trace = c.store.TraceOwnership(c.subject(), 0, hold.Number)
	l.unbind = context.AfterFunc(c.session.Context(), l.sessionOver)
	if c.opts.Strict {
		l.window = trust.NewWindow(start.Add(l.span()), c.session.Margin(), func() {
			l.lose(errors.New("the leader key was not seen in the store within the trust window"))
		})
	}
	l.guard = c.store.NewGuard(hold.Number, []backend.Entry{hold.leader, hold.mark}, func(now map[string]backend.Entry) bool {
		leader := parseLeader(now[hold.leader.Key])
		return leader.doc.tenure == hold.tenure
	})
	c.store.Logger().Info("leading", "election", c.name, "term", hold.Number, "id", c.opts.ID)
	c.claim.leads()
	c.current.Store(l)
	l.upkeep.Go(l.watch)
	if l.window != nil {
		l.upkeep.Go(l.confirmRegularly)
	}
	return l
}

// Term returns the number of this tenure, the fencing token. Every later tenure
// has a higher number.
func (l *Leadership) Term() uint64 { return l.hold.Number }

// Context ends when the leadership does: with a cause that wraps ErrLost and
// says why, or ErrResigned; under Run also with the caller's context. It ends
// by itself at the end of the session's trust window, before the store can
// give the office to another.
func (l *Leadership) Context() context.Context { return l.ctx }

// Valid reports whether the leadership is trusted at this instant. It compares
// clocks and does no I/O, so it tells the truth right after a pause of the
// process too, when Context has not yet ended. Ask it before an effect that
// cannot be fenced. It does not know how long until that effect happens.
func (l *Leadership) Valid() bool {
	return l.ctx.Err() == nil && l.session.Valid() && (l.window == nil || l.window.Open())
}

// Guard makes commits to the same Store depend on this leadership.
func (l *Leadership) Guard() backend.Guard { return l.guard }

// Confirm asks the store whether the leadership holds. If it does not, the error
// wraps ErrLost, and Context has ended. If the store does not answer, the error
// is backend.ErrUnavailable, and the leadership continues as long as it is
// trusted.
func (l *Leadership) Confirm(ctx context.Context) error {
	if l.ctx.Err() != nil {
		return fmt.Errorf("confirm: %w", l.causeOfEnd())
	}
	if err := l.confirm(ctx); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	if !l.Valid() {
		return fmt.Errorf("confirm: %w: the trust window closed", ErrLost)
	}
	return nil
}

func (l *Leadership) confirm(ctx context.Context) error {
	e := l.election
	read, err := e.store.Read(ctx, backend.Dir(e.keys.tenure))
	if err != nil {
		return err
	}
	if err := l.compare(e.viewOf(read[0])); err != nil {
		l.lose(err)
		return l.causeOfEnd()
	}
	return nil
}

// sessionOver ends the leadership with its session. If the Store was closed by
// a holder that runs no body under Run, that says that its work has stopped:
// the session need not be held any longer.
func (l *Leadership) sessionOver() {
	cause := context.Cause(l.session.Context())
	l.lose(cause)
	if l.ended != nil && errors.Is(cause, backend.ErrClosed) {
		l.letGo()
	}
}

// lose ends the leadership for a reason that is not its holder's wish.
func (l *Leadership) lose(reason error) {
	if l.ctx.Err() == nil {
		l.lost.Store(true)
	}
	reason = fmt.Errorf("%w: %w", ErrLost, reason)
	l.cancel(reason)
	l.report(reason, nil)
}

// report logs and traces, once, that the ownership has ended. It does so when
// the ownership ends, though a body may still run. Under Run, body is the error
// that the body returned before the resignation.
func (l *Leadership) report(cause, body error) {
	if l.logged.Swap(true) {
		return
	}
	level := slog.LevelInfo
	if l.lost.Load() && !errors.Is(cause, backend.ErrClosed) {
		level = slog.LevelWarn
	}
	e := l.election
	e.store.Logger().Log(context.Background(), level, "leadership ended", "election", e.name, "term", l.Term(), "cause", cause, "body", body)
	l.trace.End(cause, body)
}

// causeOfEnd returns why the context has ended.
func (l *Leadership) causeOfEnd() error { return context.Cause(l.ctx) }
