package office

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend"
)

// End ends the tenure and gives up the seat. Call it when the work
// done under Context has stopped: the next holder starts at once. If the tenure
// is lost already, End removes what is left of it.
//
// A nil error means that nothing of this tenure is in the way of the next. Any
// other error says which keys are left: they are removed in the background, or
// go with the session. End returns when the session ends, at the latest. If
// ctx ends with the tenure itself, End has two seconds. A later call
// waits for the first and returns the same.
func (t *Tenure) End(ctx context.Context) error {
	t.once.Do(func() {
		ctx, cancel := t.outlive(ctx)
		defer cancel()
		t.end(ctx, nil)
		if t.ended != nil {
			t.ended()
		}
	})
	return t.err
}

// outlive returns a context that ends with ctx unless that is because of the
// end of this tenure: the context given to a body may be given to End.
func (t *Tenure) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	detached, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	after := func() {
		if cause := context.Cause(ctx); errors.Is(cause, t.causeOfEnd()) {
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

// end is End, with what the body returned.
func (t *Tenure) end(ctx context.Context, body error) {
	lost := t.lost.Load()
	t.cancel(t.office.spec.Ended)
	t.upkeep.Wait()
	if t.window != nil {
		t.window.Close()
	}
	t.unbind()
	t.letGo()
	t.err = t.vacate(ctx, lost)
	if t.err != nil {
		of := t.office.Subject()
		t.office.store.Logger().Warn("an election or lock was not given up in order", "kind", of.Kind, "name", of.Name, "token", t.Number(), "error", t.err)
	}
	t.report(context.Cause(t.ctx), body)
}

// vacate gives up the seat: in order, if it was not lost, by one commit.
// What cannot be removed before ctx ends is removed in the background. It never
// outlives the session: all keys that need removal go with that.
func (t *Tenure) vacate(ctx context.Context, lost bool) error {
	o := t.office
	if t.session.Context().Err() != nil {
		t.claim.release()
		return nil
	}
	left := &remains{nonce: t.hold.Nonce, leader: true, entry: t.claim.doubt}
	attempt := t.givingUp(lost, left)
	both, cancel := backend.JoinContexts(ctx, t.session.Context())
	defer cancel(nil)
	err := o.store.RetryUnder(both, t.session, o.Subject(), "resign", attempt)
	switch over := t.session.Context().Err() != nil; {
	case err == nil, over && lost: // as if the session had ended before
		t.claim.release()
		return nil
	case over:
		t.claim.release()
		return fmt.Errorf("resign: the leader key was not deleted, it goes with the session: %w", err)
	}
	o.store.CleanUpInBackground(t.session, o.Subject(), attempt, func(error) { t.claim.release() })
	return fmt.Errorf("resign: the leader key was not deleted yet, that goes on in the background: %w", err)
}

// givingUp returns what Retry repeats until nothing of the tenure is left.
func (t *Tenure) givingUp(lost bool, left *remains) func(context.Context) error {
	o := t.office
	clean, sent := !lost, false
	return func(ctx context.Context) error {
		if next := t.successor(); clean && !sent && next != "" {
			sent = true // what fails may be applied: from here on it is read first
			if applied, err := t.giveUpTo(ctx, next); err != nil {
				return err
			} else if applied {
				left.leader = false
			}
		}
		if clean && !sent {
			sent = true // with what is known, before anything is read
			t.mu.Lock()
			known := t.hold
			t.mu.Unlock()
			if applied, err := t.giveUpInOrder(ctx, known, resignation{}); err != nil {
				return err
			} else if applied {
				left.leader = false
			}
		}
		if clean && left.leader {
			clean = false // one more attempt: if that is refused, the tenure ends out of order
			r, err := o.read(ctx)
			if err != nil {
				clean = true
				return err
			}
			if known, ok := t.standing(&r.view); ok {
				applied, err := t.giveUpInOrder(ctx, known, resignation{})
				if err != nil {
					clean = true
					return err
				}
				left.leader = !applied
			}
		}
		return o.settle(ctx, t.session, left)
	}
}

// giveUpInOrder is the commit of a resignation: both marks become clean.
func (t *Tenure) giveUpInOrder(ctx context.Context, known holding, with resignation) (applied bool, err error) {
	o := t.office
	if known.spare.IsZero() || o.highestSeen(known.seat) != known.tenureID {
		return false, nil // the number is to be made secure first
	}
	clean := encode(markDocument{Holder: o.spec.ID, TTLMillis: t.session.TTL().Milliseconds(), Clean: true, Next: with.next})
	ops := append([]backend.Op{
		backend.Delete(known.leader.Key, known.leader.Version),
		backend.Put(known.mark.Key, clean, known.mark.Version),
		backend.Put(o.keys.mark(known.seat, markName{tenureID: known.tenureID, spare: true}), clean, known.spare),
	}, with.ops...)
	result, err := o.commit(ctx, backend.Txn{Unchanged: with.unchanged, Ops: ops})
	return result.Applied, err
}

// standing returns the holding as v shows it, if the tenure holds in full.
func (t *Tenure) standing(v *view) (known holding, ok bool) {
	v.grow(t.hold.seat + 1)
	s := &v.seats[t.hold.seat]
	m, marked := s.find(markName{tenureID: t.hold.tenureID})
	spare, spared := s.find(markName{tenureID: t.hold.tenureID, spare: true})
	if !marked || !spared || s.leader.doc.tenureID != t.hold.tenureID {
		return holding{}, false
	}
	return holding{tenureID: t.hold.tenureID, seat: t.hold.seat, leader: s.leader.entry, mark: m.entry, spare: spare.entry.Version}, true
}
