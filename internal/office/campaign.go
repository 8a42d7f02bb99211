package office

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
)

const (
	// maxMarks is how many marks a take deletes at most; more are deleted first.
	maxMarks = 16
	// cleanupTimeout bounds how long a caller that gives up waits for clean-up.
	cleanupTimeout = 2 * time.Second
)

// candidate is one campaign under one session.
type candidate struct {
	*Office
	base    context.Context // what the tenure's context descends from
	ended   func()          // for Tenure.ended
	session *backend.Session
	claim   *claim

	position
	version  backend.Version // of the queue entry, once it is known
	reranked context.Context // ends when the priority is no longer that of position
}

// Campaign waits for a seat and takes it, under one session after the other if
// need be. The tenure's context will descend from base. The function ended, if
// it is not nil, follows the end of the tenure; without it Serve runs a body.
func (o *Office) Campaign(ctx, base context.Context, ended func()) (*Tenure, error) {
	return o.campaign(ctx, candidate{Office: o, base: base, ended: ended})
}

// Try takes a seat if one is free and nobody waits; otherwise it returns ErrBusy.
// It never creates a queue entry.
func (o *Office) Try(ctx, base context.Context, ended func()) (*Tenure, error) {
	return o.campaign(ctx, candidate{Office: o, base: base, ended: ended, position: position{tries: true}})
}

func (o *Office) campaign(ctx context.Context, c candidate) (*Tenure, error) {
	for {
		session, err := o.session(ctx)
		if err != nil {
			return nil, o.wrap(err)
		}
		under := c
		under.session = session
		t, err := o.campaignUnder(ctx, &under)
		switch {
		case err == nil:
			return t, nil
		case ctx.Err() == nil && session.Context().Err() != nil && !errors.Is(err, backend.ErrClosed):
			continue // its keys went with it
		default:
			return nil, o.wrap(err)
		}
	}
}

func (o *Office) session(ctx context.Context) (session *backend.Session, err error) {
	err = o.store.Retry(ctx, o.Subject(), "open session", func(ctx context.Context) error {
		session, err = o.store.Session(ctx)
		return err
	})
	return session, err
}

// campaignUnder campaigns until it wins, the session is over, ctx ends or
// something fails for good. On an error it has cleaned up, or cleans up in the
// background.
func (o *Office) campaignUnder(ctx context.Context, c *candidate) (t *Tenure, err error) {
	both, cancel := backend.JoinContexts(ctx, c.session.Context())
	defer cancel(nil)
	c.begin()
	var next decision
	for free := (*view)(nil); ; {
		// Each step is retried by itself, so that its pauses begin anew.
		err := o.store.RetryUnder(both, c.session, o.Subject(), "campaign", func(ctx context.Context) error {
			var err error
			seen := free
			free = nil // if the take fails, the next attempt reads
			t, next, err = c.step(ctx, seen)
			return err
		})
		switch {
		case t != nil:
			return t, nil
		case err != nil:
		case next.step == refuse:
			err = ErrBusy
		case next.step == waitBehind:
			free, err = c.waitBehind(both, next.ahead)
		case next.step == waitAtHead:
			free, err = c.waitAtHead(both)
		}
		if err != nil {
			c.giveUp()
			return nil, err
		}
	}
}

// begin gives the candidate a nonce that no campaign has had.
func (c *candidate) begin() {
	nonce := c.newNonce()
	c.claim = c.newClaim(c.session, nonce)
	c.position = position{
		tries: c.tries, limited: c.floor != "", nonce: nonce, entry: c.keys.entry(nonce),
		session: c.session.ID(), strict: c.spec.Strict, stray: c.Office.stray,
	}
	c.version = backend.Version{}
}

// step takes one step of the campaign: with what the watch of tenure/ showed
// when a seat became free, or after a round of reads. It returns the tenure if
// that was won, and otherwise the step, so that its caller waits if it says so.
func (c *candidate) step(ctx context.Context, free *view) (*Tenure, decision, error) {
	if free != nil {
		next := c.byWatch(free, c.open(free))
		t, err := c.takeFromQueue(ctx, free, next.seat)
		return t, next, err
	}
	c.rank, c.reranked = c.priority()
	r, err := c.read(ctx)
	if err != nil {
		return nil, decision{}, err
	}
	for _, w := range r.queue {
		if w.Key == c.entry {
			c.version = w.Version
		}
	}
	c.doubt = c.doubt.now(&r.view)
	c.mu.Lock()
	c.highest = slices.Clone(c.seen)
	c.mu.Unlock()
	next := decide(&c.position, r, c.open(&r.view))
	t, err := c.do(ctx, next, r)
	return t, next, err
}

func (c *candidate) do(ctx context.Context, next decision, r *round) (t *Tenure, err error) {
	var s *seat
	if next.seat < len(r.seats) {
		s = &r.seats[next.seat]
	}
	switch next.step {
	case begin:
		err = c.createLimit(ctx, c.session, &r.view, c.spec.Seats)
	case raise:
		err = c.raise(ctx, c.session, &r.view, next.seat)
	case dropMarks:
		err = c.deleteMarks(ctx, s.marks[maxMarks:])
	case clearStray:
		c.store.Logger().Info("clearing the leader key of an earlier campaign", "kind", c.Subject().Kind, "name", c.Subject().Name, "nonce", s.leader.doc.Nonce)
		err = c.clear(ctx, c.session, &r.view, next.seat)
	case settleDoubt:
		err = c.replaceMarks(ctx, c.doubt)
	case startAnew:
		if err = c.settle(ctx, c.session, c.remains(true)); err == nil {
			c.claim.release()
			c.begin()
		}
	case leave:
		err = c.leave(ctx, c.nonce)
	case join:
		err = c.join(ctx, &r.view)
	case rerank:
		err = c.putRank(ctx, &r.view)
	case takeAtOnce:
		if !c.tries {
			c.state = queueing // it tries that once, or short tenures would never queue
		}
		t, err = c.take(ctx, &r.view, next.seat, false)
	case takeInTurn:
		t, err = c.takeFromQueue(ctx, &r.view, next.seat)
	case recognize:
		t = c.leadAs(r, next.seat)
	default: // to wait, or to return
	}
	return t, err
}

// join creates the queue entry. If the outcome is unknown, the next read tells.
// The collector deletes the entry should it be created after that.
func (c *candidate) join(ctx context.Context, v *view) error {
	c.state, c.claim.joined = waiting, true
	ops := append([]backend.Op{backend.CreateEphemeral(c.entry, c.entryValue())}, c.ranks(v)...)
	result, err := c.commit(ctx, backend.Txn{Ops: ops, Lease: c.session.ID()})
	switch {
	case errors.Is(err, backend.ErrIndeterminate):
		c.claim.doubt = true
		if ctx.Err() == nil {
			return nil
		}
	case errors.Is(err, backend.ErrUnavailable):
		c.state = queueing // surely not created
	case err == nil && !result.Applied:
		c.state = queueing // the order has changed, or another nonce is needed: the next round tells
	case err == nil:
		c.version = result.Versions[0]
	}
	return err
}
