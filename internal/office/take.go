package office

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/trust"
)

// takeFromQueue takes a free seat that v shows, from the head of the queue.
// With Strict, unless the last tenure ended in order, it first waits until the
// last holder has stopped trusting itself.
func (c *candidate) takeFromQueue(ctx context.Context, v *view, at int) (*Tenure, error) {
	if s := &v.seats[at]; c.spec.Strict && !s.clean() {
		if err := backend.Sleep(ctx, s.longest(c.session.TTL())); err != nil {
			return nil, err
		}
	}
	return c.take(ctx, v, at, true)
}

// take takes a free seat that v shows, in one commit: it creates the leader key
// and two marks, deletes all marks of the seat and, if queued, the own queue
// entry. The commit's conditions are the proof that v still holds; one of them
// is that the number of seats is the same. A named successor may pass others, so
// its leader key does not say that it was the head.
func (c *candidate) take(ctx context.Context, v *view, at int, queued bool) (*Tenure, error) {
	s := &v.seats[at]
	number := max(c.highestSeen(at).Number, s.number(), c.spec.Above)
	if number == math.MaxUint64 {
		return nil, fmt.Errorf("%w: there is no number after %d", backend.ErrInvalid, number)
	}
	mine := tenureID{Number: number + 1, Nonce: c.nonce}
	markValue := c.markValue(c.session)
	ops := []backend.Op{
		backend.CreateEphemeral(c.keys.leader(at), encode(leaderDocument{tenureID: mine, Holder: c.spec.ID, Meta: c.spec.Meta, InTurn: queued && s.named() != c.nonce})),
		backend.Create(c.keys.mark(at, markName{tenureID: mine}), markValue),
		backend.Create(c.keys.mark(at, markName{tenureID: mine, spare: true}), markValue),
	}
	ops = append(ops, s.deletions()...)
	if queued {
		ops = append(ops, backend.Delete(c.entry, c.version))
	}
	c.claim.took = true
	start := trust.Now()
	result, err := c.commit(ctx, backend.Txn{Unchanged: v.limit.unchanged(), Ops: ops, Lease: c.session.ID()})
	switch {
	case errors.Is(err, backend.ErrIndeterminate):
		c.doubt = doubt{seat: at, marks: s.marks}
		if ctx.Err() == nil {
			err = nil // the next round tells
		}
		return nil, err
	case err != nil || !result.Applied:
		return nil, err
	}
	c.see(at, mine)
	return c.lead(holding{
		tenureID: mine, seat: at,
		leader: backend.Entry{Key: ops[0].Key, Value: ops[0].Value, Version: result.Versions[0]},
		mark:   backend.Entry{Key: ops[1].Key, Version: result.Versions[1]},
		spare:  result.Versions[2],
	}, start), nil
}

// leadAs begins the tenure of the leader key that r shows: the reply to the
// take was lost.
func (c *candidate) leadAs(r *round, at int) *Tenure {
	s := &r.seats[at]
	mine := s.leader.doc.tenureID
	m, _ := s.find(markName{tenureID: mine})
	spare, _ := s.find(markName{tenureID: mine, spare: true})
	return c.lead(holding{tenureID: mine, seat: at, leader: s.leader.entry, mark: m.entry, spare: spare.entry.Version}, r.started)
}

// commit is Store.Commit. It is the one place where an office writes.
func (o *Office) commit(ctx context.Context, txn backend.Txn) (backend.Result, error) {
	return o.store.Commit(ctx, txn)
}

// markValue is the value of a mark that is not clean.
func (o *Office) markValue(session *backend.Session) []byte {
	return encode(markDocument{Holder: o.spec.ID, TTLMillis: session.TTL().Milliseconds()})
}

// newMark creates a mark of no tenure, and so not clean.
func (o *Office) newMark(at int, number uint64, value []byte) backend.Op {
	return backend.Create(o.keys.mark(at, markName{tenureID: tenureID{Number: number, Nonce: rand.Text()}}), value)
}

// raise raises the number of a seat to the highest that is known. It replaces
// the marks, so that a holder with a lower number ends. Where there is none, it
// creates the base mark: a take always names a mark.
func (o *Office) raise(ctx context.Context, session *backend.Session, v *view, at int) error {
	s := &v.seats[at]
	number := max(o.highestSeen(at).Number, s.number(), 1)
	switch {
	case len(s.marks) == 0:
		return o.createMarks(ctx, session, v, at, number, 1)
	case len(s.marks) > maxMarks:
		return o.deleteMarks(ctx, s.marks[maxMarks:])
	}
	// A successor with Strict waits as long as any holder may trust itself.
	value := encode(markDocument{Holder: o.spec.ID, TTLMillis: s.longest(session.TTL()).Milliseconds()})
	ops := append(s.deletions(), o.newMark(at, number, value), o.newMark(at, number, value))
	_, err := o.commit(ctx, backend.Txn{Ops: ops})
	return err
}

// createMarks creates n marks with a number, beside those that v shows. Its
// commit and a removal of the name exclude each other.
func (o *Office) createMarks(ctx context.Context, session *backend.Session, v *view, at int, number uint64, n int) error {
	txn := backend.Txn{Unchanged: v.seats[at].unchanged()}
	if o.floor != "" {
		if len(v.seats[at].marks) == 0 {
			floor, ok, err := o.readFloor(ctx)
			if err != nil || !ok {
				return err
			}
			number = max(number, floor.number)
			txn.Unchanged = append(txn.Unchanged, floor.unchanged())
		}
		txn.Ops = append(txn.Ops, o.touchLimit(v))
	}
	for range n {
		txn.Ops = append(txn.Ops, o.newMark(at, number, o.markValue(session)))
	}
	_, err := o.commit(ctx, txn)
	return err
}

func (o *Office) deleteMarks(ctx context.Context, marks []mark) error {
	s := seat{marks: marks[:min(len(marks), backend.MaxOps)]}
	_, err := o.commit(ctx, backend.Txn{Ops: s.deletions()})
	return err
}

// replaceMarks settles a take in doubt: the marks that it names get new names,
// with the numbers and values that they have. Whether this is applied or
// refused, the take is settled once one of the marks is gone.
func (o *Office) replaceMarks(ctx context.Context, d doubt) error {
	s := seat{marks: d.marks}
	ops := s.deletions()
	for _, m := range d.marks {
		ops = append(ops, o.newMark(d.seat, m.Number, m.entry.Value))
	}
	_, err := o.commit(ctx, backend.Txn{Ops: ops})
	return err
}
