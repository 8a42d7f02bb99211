package office

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/backend"
)

// The errors of Transfer.
var (
	ErrNoCandidate = errors.New("no candidate with this ID waits")
	ErrPriorities  = errors.New("the candidates have priorities")
)

// transferAttempts bounds how often a resignation that names a successor is tried
// while the queue changes. After that the seat is given up without a name.
const transferAttempts = 5

// StepDown ends the context of the tenure, with a cause that wraps Spec.Ended and
// reason. The seat is given up by End, or by Serve once the body has returned.
func (t *Tenure) StepDown(reason error) {
	t.stepped.Store(true)
	t.cancel(fmt.Errorf("%w: %w", t.office.spec.Ended, reason))
}

// SteppedDown reports whether StepDown was called while the tenure lasted.
func (t *Tenure) SteppedDown() bool {
	return t.stepped.Load() && errors.Is(t.causeOfEnd(), t.office.spec.Ended)
}

// Transfer steps down for the waiting candidate with this ID; of several, for the
// first. That one is served before all others as long as it waits. Without Serve
// the call gives up the seat, as End does. Under Serve it returns at once, and
// the seat is given up once the body has returned.
//
// If no such candidate waits the error is ErrNoCandidate, and if candidates have
// priorities it is ErrPriorities; the tenure continues. It also does after an
// error of the read.
func (t *Tenure) Transfer(ctx context.Context, id string) error {
	o := t.office
	if t.ctx.Err() != nil {
		return fmt.Errorf("transfer: %w", t.causeOfEnd())
	}
	var next string
	for next == "" {
		r, err := o.read(ctx)
		if err != nil {
			return o.wrap(fmt.Errorf("transfer: %w", err))
		}
		at := slices.IndexFunc(r.queue, func(w waiter) bool { return w.doc.Holder == id })
		switch {
		case r.order.priorities:
			return o.wrap(fmt.Errorf("transfer: %w", ErrPriorities))
		case at < 0:
			return o.wrap(fmt.Errorf("transfer to %q: %w", id, ErrNoCandidate))
		case r.order.exists:
			next = nonceOf(r.queue[at].Entry)
			continue
		}
		// The resignation names this key, so that no priority comes before it.
		if _, err := o.commit(ctx, backend.Txn{Ops: r.order.put(o.keys.order, false)}); err != nil {
			return o.wrap(fmt.Errorf("transfer: %w", err))
		}
	}
	t.mu.Lock()
	t.next = next
	t.mu.Unlock()
	t.StepDown(fmt.Errorf("transferred to %q", id))
	if t.ended == nil {
		return nil
	}
	return t.End(ctx)
}

// successor returns the nonce of the candidate that is to be named, if any.
func (t *Tenure) successor() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next
}

// giveUpTo is the commit of a resignation that names a successor. It puts the
// entry ahead of that one, whose owner's watch is what wakes the successor. If the
// successor does not wait any more, it does nothing.
func (t *Tenure) giveUpTo(ctx context.Context, next string) (applied bool, err error) {
	for range transferAttempts {
		r, err := t.office.read(ctx)
		if err != nil {
			return false, err
		}
		known, ok := t.standing(&r.view)
		at := slices.IndexFunc(r.queue, func(w waiter) bool { return nonceOf(w.Entry) == next })
		switch {
		case !ok, at < 0, !r.order.exists, r.order.priorities:
			return false, nil
		case at > 0 && r.queue[at-1].err != nil:
			return false, nil //nolint:nilerr // Of a version to come: it is not put.
		}
		with := resignation{
			next:      next,
			unchanged: []backend.Condition{{Key: r.order.entry.Key, Version: r.order.entry.Version}},
		}
		if at > 0 {
			ahead := r.queue[at-1]
			ahead.doc.Touched++
			with.ops = append(with.ops, backend.Put(ahead.Key, encode(ahead.doc), ahead.Version))
		}
		if applied, err := t.giveUpInOrder(ctx, known, with); applied || err != nil {
			return applied, err
		}
	}
	return false, nil
}

// resignation is what a commit that gives up a seat in order has beside that.
type resignation struct {
	next      string // the named successor
	unchanged []backend.Condition
	ops       []backend.Op
}
