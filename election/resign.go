package election

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend"
)

// Resign ends the leadership and gives up the office. Call it when the work
// done under Context has stopped: the next leader starts at once. If the
// leadership is lost already, Resign removes what is left of it.
//
// A nil error means that nothing of this tenure is in the way of the next. Any
// other error says which keys are left: they are removed in the background, or
// go with the session. Resign returns when the session ends, at the latest. If
// ctx ends with the leadership itself, Resign has two seconds. A later call
// waits for the first and returns the same.
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
	l.err = l.vacate(ctx, lost)
	if l.err != nil {
		l.election.store.Logger().Warn("the office was not given up in order", "election", l.election.name, "term", l.Term(), "error", l.err)
	}
	l.report(context.Cause(l.ctx), body)
}

// vacate gives up the office: in order, if it was not lost, by one commit.
// What cannot be removed before ctx ends is removed in the background. It never
// outlives the session: all keys that need removal go with that.
func (l *Leadership) vacate(ctx context.Context, lost bool) error {
	e := l.election
	if l.session.Context().Err() != nil {
		l.claim.release()
		return nil
	}
	left := &remains{nonce: l.nonce, leader: true, entry: l.claim.doubt}
	attempt := l.resignation(lost, left)
	both, cancel := backend.JoinContexts(ctx, l.session.Context())
	defer cancel(nil)
	err := e.store.RetryUnder(both, l.session, e.subject(), "resign", attempt)
	switch over := l.session.Context().Err() != nil; {
	case err == nil, over && lost: // as if the session had ended before
		l.claim.release()
		return nil
	case over:
		l.claim.release()
		return fmt.Errorf("resign: the leader key was not deleted, it goes with the session: %w", err)
	}
	e.store.CleanUpInBackground(l.session, e.subject(), attempt, func(error) { l.claim.release() })
	return fmt.Errorf("resign: the leader key was not deleted yet, that goes on in the background: %w", err)
}

// resignation returns what Retry repeats until nothing of the tenure is left.
func (l *Leadership) resignation(lost bool, left *remains) func(context.Context) error {
	e := l.election
	clean, sent := !lost, false
	return func(ctx context.Context) error {
		if clean && !sent {
			sent = true // with what is known, before anything is read
			l.mu.Lock()
			known := l.hold
			l.mu.Unlock()
			if applied, err := l.giveUpInOrder(ctx, known); err != nil {
				return err
			} else if applied {
				left.leader = false
			}
		}
		if clean && left.leader {
			clean = false // one more attempt: if that is refused, the tenure ends out of order
			r, err := e.read(ctx)
			if err != nil {
				clean = true
				return err
			}
			if known, ok := l.standing(&r.view); ok {
				applied, err := l.giveUpInOrder(ctx, known)
				if err != nil {
					clean = true
					return err
				}
				left.leader = !applied
			}
		}
		return e.settle(ctx, l.session, left)
	}
}

// giveUpInOrder is the commit of a resignation: both marks become clean.
func (l *Leadership) giveUpInOrder(ctx context.Context, known holding) (applied bool, err error) {
	e := l.election
	if known.spare.IsZero() || e.highestSeen() != known.tenure {
		return false, nil // the number is to be made secure first
	}
	clean := e.markValue(l.session, true)
	result, err := e.commit(ctx, backend.Txn{Ops: []backend.Op{
		backend.Delete(e.keys.leader, known.leader.Version),
		backend.Put(known.mark.Key, clean, known.mark.Version),
		backend.Put(e.keys.mark(markName{tenure: known.tenure, spare: true}), clean, known.spare),
	}})
	return result.Applied, err
}

// standing returns the holding as v shows it, if the tenure holds in full.
func (l *Leadership) standing(v *view) (known holding, ok bool) {
	m, marked := v.find(markName{tenure: l.hold.tenure})
	spare, spared := v.find(markName{tenure: l.hold.tenure, spare: true})
	if !marked || !spared || v.leader.doc.tenure != l.hold.tenure {
		return holding{}, false
	}
	return holding{tenure: l.hold.tenure, leader: v.leader.entry, mark: m.entry, spare: spare.entry.Version}, true
}
