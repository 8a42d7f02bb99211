package partition

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/assign"
)

// maxMarks is how many marks a new line deletes at most; more are cleared first.
const maxMarks = 16

// propose looks whether the plan is right, by the marks, the plan and then the
// claims as they were read, in this order, and puts another if it is not.
func (m *member) propose(ctx context.Context, o *others) (again bool, err error) {
	now := time.Now()
	r := &m.read
	line := !r.there || r.mark.IsZero() // a new one is needed
	fresh := !r.there || r.fork         // as are fresh tokens for all
	base := m.baseline(o)
	seats, still, later := m.seats(o, base)
	id := planID{epoch: m.highest().epoch, nonce: rand.Text()}
	if r.there {
		id.epoch = max(id.epoch, r.plan.epoch)
	}
	for _, c := range o.all {
		if c != nil {
			id.epoch = max(id.epoch, c.epoch)
		}
	}
	id.epoch++
	next := base.next(id, seats, fresh, still)
	if !line && !fresh && next.Same(base.Table) || !anyPresent(seats) {
		m.looked(now, later)
		return !m.leaving.IsZero(), nil
	}
	txn := backend.Txn{Unchanged: []backend.Condition{{Key: m.key, Version: m.own.version}}}
	if line {
		if ready, err := m.prepareLine(ctx); !ready {
			return true, err
		}
		next.line = rand.Text()
		txn.Ops = append(txn.Ops, backend.Create(m.keys.mark(next.line), encode(markDocument{Proposer: m.registration})))
		for _, mark := range r.marks {
			txn.Ops = append(txn.Ops, backend.Delete(mark.Key, mark.Version))
		}
	} else {
		next.line = r.plan.line
		txn.Unchanged = append(txn.Unchanged, backend.Condition{Key: m.keys.mark(next.line), Version: r.mark})
	}
	value := next.encode(m.registration)
	if r.there {
		txn.Ops = append(txn.Ops, backend.Put(m.keys.plan, value, r.version))
	} else {
		txn.Ops = append(txn.Ops, backend.Create(m.keys.plan, value))
	}
	result, err := m.store.Commit(ctx, txn)
	switch {
	case errors.Is(err, backend.ErrTooLarge):
		m.store.Logger().Error("the slots cannot be planned anew", "partition", m.name, "members", len(next.Members), "error", err)
		m.looked(now, later)
		return false, nil
	case err != nil || !result.Applied:
		return true, err // the next step sees what there is
	}
	m.see(next.planID)
	m.looked(now, later)
	m.store.Logger().Info("slots planned", "partition", m.name, "epoch", next.epoch, "members", len(next.Members), "moved", base.Moved(next.Table), "fresh", fresh)
	return true, nil
}

// looked takes note that the plan was looked at; later is when it may be wrong
// though nothing happens.
func (m *member) looked(now, later time.Time) {
	m.planAt = later
	m.check(now)
	if !m.leaving.IsZero() {
		m.planned = true
	}
}

// baseline is what the next plan comes after. Where there is none in the store,
// that is the last known, with the slots that are claimed given to who claims
// them.
func (m *member) baseline(o *others) *plan {
	base := m.read.plan
	if base == nil {
		base = empty(m.group.Name(), m.opts.Slots)
	}
	if m.read.there {
		return base
	}
	return base.withHolders(o)
}

func anyPresent(seats []assign.Seat) bool {
	for _, s := range seats {
		if !s.Away {
			return true
		}
	}
	return false
}

// prepareLine sees to it that there are marks for a new line to delete, and not
// too many. It reports whether that was so when they were listed.
func (m *member) prepareLine(ctx context.Context) (ready bool, err error) {
	var ops []backend.Op
	switch marks := m.read.marks; {
	case len(marks) == 0:
		ops = []backend.Op{backend.Create(m.keys.mark(rand.Text()), encode(markDocument{Proposer: m.registration}))}
	case len(marks) > maxMarks:
		for _, mark := range marks[maxMarks:min(len(marks), maxMarks+backend.MaxOps)] {
			ops = append(ops, backend.Delete(mark.Key, mark.Version))
		}
	default:
		return true, nil
	}
	_, err = m.store.Commit(ctx, backend.Txn{Ops: ops})
	return false, err
}
