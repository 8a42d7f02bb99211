package election

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/trust"
)

// takeFromQueue takes the free office that v shows, from the head of the queue.
// With Strict, unless the last tenure ended in order, it first waits until the
// last holder has stopped trusting itself.
func (c *candidate) takeFromQueue(ctx context.Context, v *view) (*Leadership, error) {
	if c.opts.Strict && !v.clean() {
		if err := backend.Sleep(ctx, v.longest(c.session.TTL())); err != nil {
			return nil, err
		}
	}
	return c.take(ctx, v, true)
}

// take takes the free office that v shows, in one commit: it creates the leader
// key and two marks, deletes all marks of v and, if inTurn, the own queue entry.
// The commit's conditions are the proof that v still holds.
func (c *candidate) take(ctx context.Context, v *view, inTurn bool) (*Leadership, error) {
	number := max(c.highestSeen().Number, v.number(), c.opts.MinTerm)
	if number == math.MaxUint64 {
		return nil, fmt.Errorf("%w: there is no term after %d", backend.ErrInvalid, number)
	}
	mine := tenure{Number: number + 1, Nonce: c.nonce}
	markValue := c.markValue(c.session, false)
	ops := []backend.Op{
		backend.CreateEphemeral(c.keys.leader, encode(leaderDocument{tenure: mine, Holder: c.opts.ID, Meta: c.opts.Meta, InTurn: inTurn})),
		backend.Create(c.keys.mark(markName{tenure: mine}), markValue),
		backend.Create(c.keys.mark(markName{tenure: mine, spare: true}), markValue),
	}
	for _, m := range v.marks {
		ops = append(ops, backend.Delete(m.entry.Key, m.entry.Version))
	}
	if inTurn {
		ops = append(ops, backend.Delete(c.entry, c.version))
	}
	c.claim.took = true
	start := trust.Now()
	result, err := c.commit(ctx, backend.Txn{Ops: ops, Lease: c.session.ID()})
	switch {
	case errors.Is(err, backend.ErrIndeterminate):
		c.doubt = v.marks
		if ctx.Err() == nil {
			err = nil // the next round tells
		}
		return nil, err
	case err != nil || !result.Applied:
		return nil, err
	}
	c.see(mine)
	return c.lead(holding{
		tenure: mine,
		leader: backend.Entry{Key: ops[0].Key, Value: ops[0].Value, Version: result.Versions[0]},
		mark:   backend.Entry{Key: ops[1].Key, Version: result.Versions[1]},
		spare:  result.Versions[2],
	}, start), nil
}

// leadAs begins the leadership of the leader key that r shows: the reply to the
// take was lost.
func (c *candidate) leadAs(r *round) *Leadership {
	mine := r.leader.doc.tenure
	m, _ := r.find(markName{tenure: mine})
	spare, _ := r.find(markName{tenure: mine, spare: true})
	return c.lead(holding{tenure: mine, leader: r.leader.entry, mark: m.entry, spare: spare.entry.Version}, r.started)
}

// commit is Store.Commit. It is the one place where an election writes.
func (e *Election) commit(ctx context.Context, txn backend.Txn) (backend.Result, error) {
	return e.store.Commit(ctx, txn)
}

func (e *Election) markValue(session *backend.Session, clean bool) []byte {
	return encode(markDocument{Holder: e.opts.ID, TTLMillis: session.TTL().Milliseconds(), Clean: clean})
}

// createMarks creates n marks with a number that are of no tenure, and so not
// clean. A take always names a mark: where there is none, this is the base.
func (e *Election) createMarks(ctx context.Context, session *backend.Session, number uint64, n int) error {
	var ops []backend.Op
	for range n {
		name := markName{tenure: tenure{Number: number, Nonce: rand.Text()}}
		ops = append(ops, backend.Create(e.keys.mark(name), e.markValue(session, false)))
	}
	_, err := e.commit(ctx, backend.Txn{Ops: ops})
	return err
}

func (e *Election) deleteMarks(ctx context.Context, marks []mark) error {
	var ops []backend.Op
	for _, m := range marks[:min(len(marks), backend.MaxOps)] {
		ops = append(ops, backend.Delete(m.entry.Key, m.entry.Version))
	}
	_, err := e.commit(ctx, backend.Txn{Ops: ops})
	return err
}

// replaceMarks settles a take in doubt: the marks that it names get new names,
// with the numbers and values that they have. Whether this is applied or
// refused, the take is settled once one of the marks is gone.
func (e *Election) replaceMarks(ctx context.Context, marks []mark) error {
	var ops []backend.Op
	for _, m := range marks {
		name := markName{tenure: tenure{Number: m.Number, Nonce: rand.Text()}}
		ops = append(ops, backend.Delete(m.entry.Key, m.entry.Version), backend.Create(e.keys.mark(name), m.entry.Value))
	}
	_, err := e.commit(ctx, backend.Txn{Ops: ops})
	return err
}
