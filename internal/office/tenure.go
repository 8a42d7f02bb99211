package office

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/trust"
)

// Tenure is the time during which this process holds a seat.
type Tenure struct {
	office  *Office
	session *backend.Session
	guard   backend.Guard
	window  *trust.Window // Strict only
	trace   *backend.OwnershipTrace
	claim   *claim

	ctx    context.Context
	cancel context.CancelCauseFunc
	upkeep sync.WaitGroup
	unbind func() bool // from the session's context
	letGo  func()      // of the session
	lost   atomic.Bool // by itself: the caller's context may be that of another tenure, which was lost
	logged atomic.Bool // the end

	stepped  atomic.Bool // down
	yielding sync.Once   // the start of yield

	mu   sync.Mutex // guards the versions in hold, and next
	hold holding
	next string // the nonce of the successor that the resignation names

	once  sync.Once
	err   error  // of the first End
	ended func() // what follows the end; nil under Serve
}

// holding is what a holder has in the store. The spare's version is zero if
// that is gone: it is no part of the proof.
type holding struct {
	tenureID
	seat         int
	leader, mark backend.Entry
	spare        backend.Version
}

// lead begins the tenure that hold stands for, unless the trust that it needs
// is gone by now: start is when the commit or the read began that proved it.
func (c *candidate) lead(hold holding, start trust.Instant) *Tenure {
	t := &Tenure{
		office: c.Office, session: c.session, hold: hold,
		letGo: c.session.Hold(), ended: c.ended, claim: c.claim,
	}
	if !c.session.Valid() || c.spec.Strict && start.Add(t.span()).Passed(trust.Now()) {
		t.letGo()
		return nil
	}
	t.ctx, t.cancel = context.WithCancelCause(c.base)
	t.trace = c.store.TraceOwnership(c.Subject(), hold.seat, hold.Number)
	t.unbind = context.AfterFunc(c.session.Context(), t.sessionOver)
	if c.spec.Strict {
		t.window = trust.NewWindow(start.Add(t.span()), c.session.Margin(), func() {
			t.lose(errors.New("the leader key was not seen in the store within the trust window"))
		})
	}
	t.guard = c.store.NewGuard(hold.Number, []backend.Entry{hold.leader, hold.mark}, func(now map[string]backend.Entry) bool {
		leader := parseLeader(now[hold.leader.Key])
		return leader.doc.tenureID == hold.tenureID
	})
	c.claim.leads()
	if c.spec.OnBegin != nil {
		c.spec.OnBegin(t)
	}
	t.upkeep.Go(t.watch)
	if c.spec.Keep != nil {
		t.upkeep.Go(func() {
			if err := c.spec.Keep(t.ctx, t); err != nil {
				t.StepDown(err)
			}
		})
	}
	if t.window != nil {
		t.upkeep.Go(t.confirmRegularly)
	}
	return t
}

// Number returns the number of this tenure, the fencing token: that of every
// later tenure of the seat is higher, whoever holds it.
func (t *Tenure) Number() uint64 { return t.hold.Number }

// Seat returns the number of the seat, from 0.
func (t *Tenure) Seat() int { return t.hold.seat }

// Context ends when the tenure does: with a cause that wraps Spec.Lost and says
// why, or Spec.Ended; also with the base that Campaign was given. It ends by
// itself at the end of the session's trust window, before the store can give the
// seat to another.
func (t *Tenure) Context() context.Context { return t.ctx }

// Valid reports whether the tenure is trusted at this instant. It compares
// clocks and does no I/O, so it tells the truth right after a pause of the
// process too, when Context has not yet ended. Ask it before an effect that
// cannot be fenced. It does not know how long until that effect happens.
func (t *Tenure) Valid() bool {
	return t.ctx.Err() == nil && t.session.Valid() && (t.window == nil || t.window.Open())
}

// Guard makes commits to the same Store depend on this tenure.
func (t *Tenure) Guard() backend.Guard { return t.guard }

// Confirm asks the store whether the tenure holds. If it does not, the error
// wraps Spec.Lost, and Context has ended. If the store does not answer, the error
// is backend.ErrUnavailable, and the tenure continues as long as it is trusted.
func (t *Tenure) Confirm(ctx context.Context) error {
	if t.ctx.Err() != nil {
		return fmt.Errorf("confirm: %w", t.causeOfEnd())
	}
	if err := t.confirm(ctx); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	if !t.Valid() {
		return fmt.Errorf("confirm: %w: the trust window closed", t.office.spec.Lost)
	}
	return nil
}

func (t *Tenure) confirm(ctx context.Context) error {
	read, err := t.office.store.Read(ctx, t.targets()...)
	if err != nil {
		return err
	}
	if err := t.compare(t.office.viewOf(slices.Concat(read...))); err != nil {
		t.lose(err)
		return t.causeOfEnd()
	}
	return nil
}

// sessionOver ends the tenure with its session. If the Store was closed by a
// holder that runs no body under Serve, that says that its work has stopped:
// the session need not be held any longer.
func (t *Tenure) sessionOver() {
	cause := context.Cause(t.session.Context())
	t.lose(cause)
	if t.ended != nil && errors.Is(cause, backend.ErrClosed) {
		t.letGo()
	}
}

// lose ends the tenure for a reason that is not its holder's wish.
func (t *Tenure) lose(reason error) {
	if t.ctx.Err() == nil {
		t.lost.Store(true)
	}
	reason = fmt.Errorf("%w: %w", t.office.spec.Lost, reason)
	t.cancel(reason)
	t.report(reason, nil)
}

// report logs and traces, once, that the ownership has ended. It does so when
// the ownership ends, though a body may still run. Under Serve, body is the error
// that the body returned before the seat was given up.
func (t *Tenure) report(cause, body error) {
	if t.logged.Swap(true) {
		return
	}
	if t.office.spec.OnEnd != nil {
		t.office.spec.OnEnd(t, t.lost.Load() && !errors.Is(cause, backend.ErrClosed), cause, body)
	}
	t.trace.End(cause, body)
}

// causeOfEnd returns why the context has ended.
func (t *Tenure) causeOfEnd() error { return context.Cause(t.ctx) }
