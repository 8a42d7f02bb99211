package election

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	*Election
	base    context.Context // what the leadership's context descends from
	ended   func()          // for Leadership.ended
	session *backend.Session
	claim   *claim

	position
	version backend.Version // of the queue entry, once it is known
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
// something fails for good. On an error it has cleaned up, or cleans up in the
// background.
func (e *Election) campaignUnder(ctx context.Context, c *candidate) (lead *Leadership, err error) {
	both, cancel := backend.JoinContexts(ctx, c.session.Context())
	defer cancel(nil)
	c.begin()
	var next step
	var ahead backend.Entry
	for free := (*view)(nil); ; {
		// Each step is retried by itself, so that its pauses begin anew.
		err := e.store.RetryUnder(both, c.session, e.subject(), "campaign", func(ctx context.Context) error {
			var err error
			seen := free
			free = nil // if the take fails, the next attempt reads
			lead, next, ahead, err = c.step(ctx, seen)
			return err
		})
		switch {
		case lead != nil:
			return lead, nil
		case err == nil && next == waitBehind:
			free, err = c.waitBehind(both, ahead)
		case err == nil && next == waitAtHead:
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
	nonce := c.instance + "-" + strconv.FormatUint(c.nonces.Add(1), 10)
	c.claim = c.newClaim(c.session, nonce)
	c.position = position{
		nonce: nonce, entry: c.keys.entry(nonce), session: c.session.ID(), strict: c.opts.Strict,
		mine: func(nonce string) bool { return strings.HasPrefix(nonce, c.instance+"-") },
	}
	c.version = backend.Version{}
}

// step takes one step of the campaign: with what the watch of tenure/ showed
// when the office became free, or after a round of reads. It returns the
// leadership if that was won, and otherwise the step, so that its caller waits
// if it says so.
func (c *candidate) step(ctx context.Context, free *view) (*Leadership, step, backend.Entry, error) {
	if free != nil {
		lead, err := c.takeFromQueue(ctx, free)
		return lead, takeInTurn, backend.Entry{}, err
	}
	r, err := c.read(ctx)
	if err != nil {
		return nil, 0, backend.Entry{}, err
	}
	for _, entry := range r.queue {
		if entry.Key == c.entry {
			c.version = entry.Version
		}
	}
	c.doubt = r.doubtful(c.doubt)
	c.highest = c.highestSeen()
	next, ahead := decide(&c.position, r)
	lead, err := c.do(ctx, next, r)
	return lead, next, ahead, err
}

func (c *candidate) do(ctx context.Context, next step, r *round) (lead *Leadership, err error) {
	switch next {
	case raise:
		err = c.createMarks(ctx, c.session, max(c.highest.Number, 1), 1)
	case dropMarks:
		err = c.deleteMarks(ctx, r.marks[maxMarks:])
	case clearStray:
		c.store.Logger().Info("clearing the leader key of an earlier campaign", "election", c.name, "nonce", r.leader.doc.Nonce)
		err = c.clear(ctx, c.session, &r.view)
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
		err = c.join(ctx)
	case takeAtOnce:
		c.state = queueing // it tries that once, or short tenures would never queue
		lead, err = c.take(ctx, &r.view, false)
	case takeInTurn:
		lead, err = c.takeFromQueue(ctx, &r.view)
	case recognize:
		lead = c.leadAs(r)
	}
	return lead, err
}

// join creates the queue entry. If the outcome is unknown, the next read tells.
// The collector deletes the entry should it be created after that.
func (c *candidate) join(ctx context.Context) error {
	c.state, c.claim.joined = waiting, true
	result, err := c.commit(ctx, backend.Txn{
		Ops:   []backend.Op{backend.CreateEphemeral(c.entry, encode(entryDocument{Holder: c.opts.ID}))},
		Lease: c.session.ID(),
	})
	switch {
	case errors.Is(err, backend.ErrIndeterminate):
		c.claim.doubt = true
		if ctx.Err() == nil {
			return nil
		}
	case errors.Is(err, backend.ErrUnavailable):
		c.state = queueing // surely not created
	case err == nil && result.Applied:
		c.version = result.Versions[0]
	}
	return err
}
