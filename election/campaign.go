package election

import (
	"context"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"strconv"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/trust"
)

const (
	// maxMarks is how many marks a take deletes at most; more are cleared first.
	maxMarks = 16
	// relistEvery is how often a candidate that waits looks at the whole queue
	// again, though no watch has called it: a backstop.
	relistEvery = 10 * time.Minute
	// cleanupTimeout bounds what a caller who gave up is made to wait for.
	cleanupTimeout = 2 * time.Second
)

// candidate is one campaign under one session.
type candidate struct {
	*Election
	base    context.Context // what the leadership's context descends from
	ended   func()          // for Leadership.ended
	session *backend.Session
	nonce   string
	entry   string // the key of its queue entry
}

// campaign wins the office, under one session after the other if need be. The
// leadership's context will descend from base, and ended follows its end.
func (e *Election) campaign(ctx, base context.Context, ended func()) (*Leadership, error) {
	for {
		session, err := e.session(ctx)
		if err != nil {
			return nil, fmt.Errorf("election %q: %w", e.name, err)
		}
		lead, err := e.campaignUnder(ctx, &candidate{Election: e, base: base, ended: ended, session: session})
		switch {
		case err == nil:
			return lead, nil
		case ctx.Err() == nil && session.Context().Err() != nil && !errors.Is(err, backend.ErrClosed):
			continue // its keys went with it
		default:
			return nil, fmt.Errorf("election %q: %w", e.name, err)
		}
	}
}

func (e *Election) session(ctx context.Context) (session *backend.Session, err error) {
	err = e.store.Retry(ctx, e.subject(), "open session", func(ctx context.Context) error {
		session, err = e.store.Session(ctx)
		return err
	})
	return session, err
}

// campaignUnder campaigns until it wins, the session is over, ctx ends or
// something fails for good. On an error it has cleaned up.
func (e *Election) campaignUnder(ctx context.Context, c *candidate) (lead *Leadership, err error) {
	both, cancel := joinContexts(ctx, c.session.Context())
	defer cancel(nil)
	c.rename()
	c.joins(c.session)
	joined := false
	err = e.store.Retry(both, e.subject(), "campaign", func(both context.Context) error {
		for {
			if !joined {
				if err := c.join(both); err != nil {
					return err
				}
				joined = true
			}
			var again bool
			if lead, again, err = c.round(both); err != nil || lead != nil {
				return err
			}
			joined = joined && !again
		}
	})
	if err != nil {
		c.cleanUp(ctx)
	}
	return lead, err
}

// rename gives the candidate a nonce that nobody has had.
func (c *candidate) rename() {
	c.nonce = c.instance + "-" + strconv.FormatUint(c.nonces.Add(1), 10)
	c.entry = c.keys.entry(c.nonce)
}

// join creates the queue entry. If the outcome is not known, the next look at
// the queue tells; should the entry land later than that, it is swept.
func (c *candidate) join(ctx context.Context) error {
	_, err := c.commit(ctx, driver.Txn{
		Ops:   []driver.Op{driver.CreateEphemeral(c.entry, encode(entryDocument{Holder: c.opts.ID}))},
		Lease: c.session.ID(),
	})
	if errors.Is(err, backend.ErrIndeterminate) && ctx.Err() == nil {
		return nil
	}
	return err
}

// round reads the state once and does the one thing it calls for: a step
// towards the office, a wait, or taking it. rejoin says that the candidate has
// lost its place in the queue, and a new nonce.
func (c *candidate) round(ctx context.Context) (lead *Leadership, rejoin bool, err error) {
	st, err := c.read(ctx)
	if err == nil {
		err = st.checkQueue()
	}
	if err != nil {
		return nil, false, err
	}
	if raised, err := c.raise(ctx, st, c.session); raised || err != nil {
		return nil, false, err
	}
	if err := c.sweep(ctx, st, c.session, c.nonce); err != nil {
		return nil, false, err
	}
	own, place := st.entryOf(c.entry)
	switch {
	case place < 0:
		if err := c.clear(ctx, st, c.session, c.nonce); err != nil {
			return nil, false, err
		}
		c.rename()
		return nil, true, nil
	case place > 0:
		return nil, false, c.wait(ctx, st.queue[place-1].Key)
	case len(st.marks) == 0:
		return nil, false, c.baseMark(ctx)
	case len(st.marks) > maxMarks:
		return nil, false, c.dropMarks(ctx, st.marks[maxMarks:])
	case st.office.there:
		return c.officeTaken(ctx, st, own)
	case c.opts.Strict && !c.released(st):
		if err := pause(ctx, st.longest(c.session.TTL())); err != nil {
			return nil, false, err
		}
	}
	lead, err = c.take(ctx, st, own)
	return lead, false, err
}

// officeTaken is for a candidate at the head that finds the office taken. It
// may be its own: a take that was thought to have failed.
func (c *candidate) officeTaken(ctx context.Context, st *state, own backend.Entry) (*Leadership, bool, error) {
	office := st.office
	if office.doc.Nonce != c.nonce || office.entry.Lease != c.session.ID() {
		return nil, false, c.wait(ctx, c.keys.office)
	}
	mine := office.doc.tenure
	if st.marks[0].tenure != mine || c.highest() != mine {
		err := c.clear(ctx, st, c.session, c.nonce)
		c.rename()
		return nil, true, err
	}
	lead := c.lead(holding{
		tenure: mine,
		office: office.entry,
		mark:   st.marks[0].entry,
		entry:  own.Version,
		term:   st.term.entry.Version,
	}, st.started)
	return lead, false, nil
}

// released reports whether the last holder is known to have left by itself.
func (c *candidate) released(st *state) bool {
	return st.term.there && st.term.doc.Clean && st.term.doc.Number >= c.highest().Number
}

// take takes the office: one commit that only the head of the queue can make,
// only while the office is vacant and the marks and the term are as read.
func (c *candidate) take(ctx context.Context, st *state, own backend.Entry) (*Leadership, error) {
	number := max(c.highest().Number, st.term.doc.Number, st.marks[0].Number, c.opts.MinTerm)
	if number == math.MaxUint64 {
		return nil, fmt.Errorf("%w: there is no term after %d", backend.ErrInvalid, number)
	}
	mine := tenure{Number: number + 1, Nonce: c.nonce}
	office := driver.CreateEphemeral(c.keys.office, encode(officeDocument{tenure: mine, Holder: c.opts.ID, Meta: c.opts.Meta}))
	mark := driver.Create(c.keys.mark(mine), c.markValue(c.session))
	termValue := encode(termDocument{tenure: mine, Holder: c.opts.ID, TTLMillis: c.session.TTL().Milliseconds()})
	term := driver.Create(c.keys.term, termValue)
	if st.term.there {
		term = driver.Put(c.keys.term, termValue, st.term.entry.Version)
	}
	ops := []driver.Op{office, mark, term}
	for _, m := range st.marks {
		ops = append(ops, driver.Delete(m.entry.Key, m.entry.Version))
	}
	start := trust.Now()
	result, err := c.commit(ctx, driver.Txn{
		Unchanged: []driver.Condition{{Key: own.Key, Version: own.Version}},
		Ops:       ops,
		Lease:     c.session.ID(),
	})
	switch {
	case errors.Is(err, backend.ErrIndeterminate) && ctx.Err() == nil:
		return nil, nil // the next round tells
	case err != nil || !result.Applied:
		return nil, err
	}
	c.see(mine)
	return c.lead(holding{
		tenure: mine,
		office: backend.Entry{Key: office.Key, Value: office.Value, Version: result.Versions[0]},
		mark:   backend.Entry{Key: mark.Key, Version: result.Versions[1]},
		entry:  own.Version,
		term:   result.Versions[2],
	}, start), nil
}

// wait waits until the key ahead or the own entry is no longer what it was, a
// watch had to begin again, or it is time to look at all of it anyway. Between
// the look and the watch a restore may leave what is ahead as it was, take the
// own entry away, and bring back an older one of this process, which blocks the
// queue until it is swept: that is what the own entry is watched for.
func (c *candidate) wait(ctx context.Context, ahead string) error {
	w, err := c.store.Watch(driver.Key(ahead), driver.Key(c.entry))
	if err != nil {
		return err
	}
	defer w.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, relistEvery+mathrand.N(relistEvery/2), errRelist)
	defer cancel()
	for first := true; ; first = false {
		err := w.Next(ctx)
		switch {
		case errors.Is(err, errRelist):
			return nil
		case err != nil:
			return err
		case !first || len(w.Entries(0)) == 0 || len(w.Entries(1)) == 0:
			return nil
		}
	}
}

var errRelist = errors.New("time to look again")

// pause waits for d.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// joinContexts returns a context with the values of a that ends with a or b,
// with the cause of the one that ended first.
func joinContexts(a, b context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(a)
	stop := context.AfterFunc(b, func() { cancel(context.Cause(b)) })
	return ctx, func(cause error) {
		stop()
		cancel(cause)
	}
}
