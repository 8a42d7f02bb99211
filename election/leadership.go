package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/trust"
)

// Leadership is one tenure of an office.
type Leadership struct {
	election *Election
	session  *backend.Session
	nonce    string
	guard    backend.Guard
	window   *trust.Window // Strict only
	trace    *backend.OwnershipTrace

	ctx    context.Context
	cancel context.CancelCauseFunc
	upkeep sync.WaitGroup
	unbind func() bool // from the session's context
	letGo  func()      // of the session
	lost   atomic.Bool // by itself: the caller's context may be that of another leadership, which was lost

	mu   sync.Mutex
	hold holding

	once  sync.Once
	err   error  // of the first Resign
	ended func() // what follows the end, if Campaign made it
}

// holding is what a leader has in the store.
type holding struct {
	tenure
	office, mark backend.Entry
	entry, term  backend.Version
}

// lead begins the leadership that holds stands for, unless the trust that it
// needs is gone by now: start is when the commit or the read began that proved
// it.
func (c *candidate) lead(hold holding, start trust.Instant) *Leadership {
	l := &Leadership{
		election: c.Election, session: c.session, nonce: c.nonce, hold: hold,
		letGo: c.session.Hold(), ended: c.ended,
	}
	if !c.session.Valid() {
		l.letGo()
		return nil
	}
	l.ctx, l.cancel = context.WithCancelCause(c.base)
	l.unbind = context.AfterFunc(c.session.Context(), l.sessionOver)
	if c.opts.Strict {
		l.window = trust.NewWindow(start.Add(l.span()), c.session.Margin(), func() {
			l.lose(errors.New("the office was not seen in the store within the trust window"))
		})
		if !l.window.Open() {
			l.unbind()
			l.letGo()
			l.cancel(ErrLost)
			return nil
		}
	}
	l.guard = c.store.NewGuard(hold.Number, []backend.Entry{hold.office, hold.mark}, func(now map[string]backend.Entry) bool {
		return l.holds(now[hold.office.Key])
	})
	l.upkeep.Go(l.watch)
	if l.window != nil {
		l.upkeep.Go(l.confirmRegularly)
	}
	c.store.Logger().Info("leading", "election", c.name, "term", hold.Number, "id", c.opts.ID)
	l.trace = c.store.TraceOwnership(c.subject(), 0, hold.Number)
	return l
}

// Term returns the number of this tenure, the fencing token: every later
// tenure's is higher, whoever holds it.
func (l *Leadership) Term() uint64 { return l.hold.Number }

// Context ends when the leadership does: with a cause that wraps ErrLost and
// says why, or ErrResigned; under Run also with the caller's context. It ends
// by itself at the end of the session's trust window, before the store can
// give the office to another.
func (l *Leadership) Context() context.Context { return l.ctx }

// Valid reports whether the leadership is trusted at this instant. It compares
// clocks and does no I/O, so it tells the truth right after a pause of the
// process too, when Context has not yet ended. Ask it before an effect that
// cannot be fenced; what it cannot tell is how long until that effect happens.
func (l *Leadership) Valid() bool {
	return l.ctx.Err() == nil && l.session.Valid() && (l.window == nil || l.window.Open())
}

// Guard makes commits to the same Store depend on this leadership.
func (l *Leadership) Guard() backend.Guard { return l.guard }

// Confirm asks the store whether the leadership stands. It returns nil if so,
// and an error that wraps ErrLost if not: Context has ended then. If the store
// does not answer, the error is backend.ErrUnavailable and the leadership goes
// on as long as it is trusted.
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
	k := l.election.keys
	read, err := l.election.store.Read(ctx, driver.Key(k.office), driver.Key(k.mark(l.hold.tenure)), driver.Key(k.term))
	if err != nil {
		return err
	}
	if err := l.compare(read[0], read[1], read[2]); err != nil {
		l.lose(err)
		return l.causeOfEnd()
	}
	return nil
}

// Resign ends the leadership and gives up the office. Call it when the work
// done under Context has stopped: the next leader starts at once. If the
// leadership is lost already, it clears up what is left of it.
//
// A nil error means that nothing of this tenure stands in the way of the next.
// On any other the office goes with the session, or is cleared up in the
// background. Resigning again waits for the first and returns the same. If ctx
// ends with the leadership itself, it has two seconds.
func (l *Leadership) Resign(ctx context.Context) error {
	l.once.Do(func() {
		ctx, cancel := l.outlive(ctx)
		defer cancel()
		l.end(ctx, nil)
		if l.ended != nil {
			l.ended()
		}
	})
	return l.err
}

// outlive returns a context that ends with ctx unless that is because of the
// end of this leadership: the context given to a body may be given to Resign.
func (l *Leadership) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	detached, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	after := func() {
		if cause := context.Cause(ctx); errors.Is(cause, l.causeOfEnd()) {
			timer := time.AfterFunc(cleanupTimeout, func() { cancel(cause) })
			context.AfterFunc(detached, func() { timer.Stop() })
		} else {
			cancel(cause)
		}
	}
	stop := context.AfterFunc(ctx, after)
	return detached, func() {
		stop()
		cancel(nil)
	}
}

// end is Resign, with what the body returned.
func (l *Leadership) end(ctx context.Context, body error) {
	lost := l.lost.Load()
	l.cancel(ErrResigned)
	l.upkeep.Wait()
	if l.window != nil {
		l.window.Close()
	}
	l.unbind()
	l.letGo()
	if l.session.Context().Err() == nil {
		l.err = l.vacate(ctx, lost)
	}
	cause := context.Cause(l.ctx)
	level := slog.LevelInfo
	if lost && !errors.Is(cause, backend.ErrClosed) {
		level = slog.LevelWarn
	}
	l.election.store.Logger().Log(ctx, level, "leadership ended", "election", l.election.name, "term", l.Term(), "cause", cause, "body", body, "error", l.err)
	l.trace.End(cause, body)
}

// vacate gives up the office: cleanly, if it was not lost, in one commit.
func (l *Leadership) vacate(ctx context.Context, lost bool) error {
	e := l.election
	sent := false
	err := e.store.Retry(ctx, e.subject(), "resign", func(ctx context.Context) error {
		if !lost && !sent {
			sent = true // with what is known, before anything is read
			l.mu.Lock()
			known := l.hold
			l.mu.Unlock()
			if applied, err := l.release(ctx, known, true); applied {
				return err
			}
		}
		st, err := e.read(ctx)
		if err != nil {
			return err
		}
		if known, queued, stands := l.standing(st); stands && !lost {
			if applied, err := l.release(ctx, known, queued); applied || err != nil {
				return err
			}
			lost = true // refused although it stood: leave the term as it is
			return errRefused
		}
		return e.clear(ctx, st, l.session, l.nonce)
	})
	if err != nil {
		e.unsettled.Store(true)
		return fmt.Errorf("resign: %w", err)
	}
	return nil
}

var errRefused = errors.New("the commit was refused")

// release is the commit of a clean resignation.
func (l *Leadership) release(ctx context.Context, known holding, queued bool) (applied bool, err error) {
	e := l.election
	ops := []driver.Op{
		driver.Delete(e.keys.office, known.office.Version),
		driver.Put(e.keys.term, encode(termDocument{
			tenure: known.tenure, Holder: e.opts.ID, TTLMillis: l.session.TTL().Milliseconds(), Clean: true,
		}), known.term),
	}
	if queued {
		ops = append(ops, driver.Delete(e.keys.entry(l.nonce), known.entry))
	}
	result, err := e.commit(ctx, driver.Txn{
		Unchanged: []driver.Condition{{Key: known.mark.Key, Version: known.mark.Version}},
		Ops:       ops,
	})
	return result.Applied, err
}

// standing returns the holding as st shows it, and whether the queue entry is
// there, if the tenure still stands in full.
func (l *Leadership) standing(st *state) (known holding, queued, stands bool) {
	m, marked := st.markOf(l.hold.tenure)
	if !marked || !st.office.there || !l.holds(st.office.entry) || st.term.doc.tenure != l.hold.tenure {
		return holding{}, false, false
	}
	entry, place := st.entryOf(l.election.keys.entry(l.nonce))
	return holding{
		tenure: l.hold.tenure,
		office: st.office.entry,
		mark:   m.entry,
		entry:  entry.Version,
		term:   st.term.entry.Version,
	}, place >= 0, true
}

// holds reports whether office is this tenure's.
func (l *Leadership) holds(office backend.Entry) bool {
	var doc officeDocument
	return decode(office, &doc) == nil && doc.tenure == l.hold.tenure
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
	l.cancel(fmt.Errorf("%w: %w", ErrLost, reason))
}

// causeOfEnd returns why the context has ended.
func (l *Leadership) causeOfEnd() error { return context.Cause(l.ctx) }
