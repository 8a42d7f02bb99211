package election

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
)

// raise puts the term up to what this process remembers, if the store shows a
// lower one. It says whether that was called for: st is outdated then.
func (e *Election) raise(ctx context.Context, st *state, session *backend.Session) (bool, error) {
	high := e.highest()
	if high.Number <= st.term.doc.Number {
		return false, nil
	}
	_, err := e.commit(ctx, driver.Txn{Ops: []driver.Op{e.raised(st, high, session)}})
	return true, err
}

// raised is the operation that puts the term up to high, on the term as read.
func (e *Election) raised(st *state, high tenure, session *backend.Session) driver.Op {
	value := encode(termDocument{tenure: high, Holder: st.term.doc.Holder, TTLMillis: st.longest(session.TTL()).Milliseconds()})
	if !st.term.there {
		return driver.Create(e.keys.term, value)
	}
	return driver.Put(e.keys.term, value, st.term.entry.Version)
}

var errOutdated = errors.New("the state read is no longer that of the store")

// secure is for an office that is about to be given up though its tenure no
// longer stands in full. It makes sure that the term and a mark both have the
// highest number that this process remembers, as in ordinary times: nobody
// else may know it, and until the office is gone nobody takes a lower one.
// With both there, no single key that is deleted afterwards loses the number.
func (e *Election) secure(ctx context.Context, st *state, session *backend.Session) error {
	high := e.highest()
	raise := high.Number > st.term.doc.Number
	marked := len(st.marks) > 0 && st.marks[0].Number >= high.Number
	if marked && !raise {
		return nil
	}
	var txn driver.Txn
	if raise {
		txn.Ops = append(txn.Ops, e.raised(st, high, session))
	} else {
		txn.Unchanged = []driver.Condition{{Key: st.term.entry.Key, Version: st.term.entry.Version}}
	}
	if !marked {
		txn.Ops = append(txn.Ops, e.newMark(high.Number, session))
	}
	result, err := e.commit(ctx, txn)
	if err == nil && !result.Applied {
		err = errOutdated
	}
	return err
}

// newMark is the operation that creates a mark which is of no tenure.
func (e *Election) newMark(number uint64, session *backend.Session) driver.Op {
	return driver.Create(e.keys.mark(tenure{Number: number, Nonce: rand.Text()}), e.markValue(session))
}

func (e *Election) markValue(session *backend.Session) []byte {
	return encode(markDocument{Holder: e.opts.ID, TTLMillis: session.TTL().Milliseconds()})
}

// baseMark creates a mark where there is none: a take always names one.
func (c *candidate) baseMark(ctx context.Context) error {
	_, err := c.commit(ctx, driver.Txn{Ops: []driver.Op{c.newMark(max(c.highest().Number, 1), c.session)}})
	return err
}

func (c *candidate) dropMarks(ctx context.Context, marks []mark) error {
	var ops []driver.Op
	for _, m := range marks[:min(len(marks), driver.MaxOps)] {
		ops = append(ops, driver.Delete(m.entry.Key, m.entry.Version))
	}
	_, err := c.commit(ctx, driver.Txn{Ops: ops})
	return err
}
