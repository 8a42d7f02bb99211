package office

import (
	"context"
	"path"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
)

// remains are the keys that a campaign or a tenure may have left in the store.
type remains struct {
	nonce  string
	entry  bool  // its queue entry was sent
	doubt  doubt // a take with an unknown outcome
	leader bool  // its leader key may exist
}

// remains returns what the campaign may have left. Its leader key can exist only
// if it was seen, or if a take is in doubt.
func (c *candidate) remains(leader bool) *remains {
	return &remains{nonce: c.nonce, entry: c.state == waiting, doubt: c.doubt, leader: leader || c.doubt.open()}
}

// settle removes what is left. It is done when a round of reads, begun after
// the last commit, shows that nothing is. Its caller retries it.
func (o *Office) settle(ctx context.Context, session *backend.Session, left *remains) error {
	for left.leader {
		r, err := o.read(ctx)
		if err != nil {
			return err
		}
		left.doubt = left.doubt.now(&r.view)
		at, held := r.heldBy(left.nonce, session)
		switch {
		case held:
			err = o.clear(ctx, session, &r.view, at)
		case left.doubt.open():
			err = o.replaceMarks(ctx, left.doubt)
		default:
			left.leader = false
		}
		if err != nil {
			return err
		}
	}
	if left.entry {
		if err := o.leave(ctx, left.nonce); err != nil {
			return err
		}
		left.entry = false
	}
	return nil
}

// clear deletes the leader key of a seat, once its number is secure: two marks
// have the highest number that this process remembers, because no other may
// know it, and nobody takes a lower one before the leader key is gone. The
// commit names all marks of the seat, so that it can hit no other tenure.
func (o *Office) clear(ctx context.Context, session *backend.Session, v *view, at int) error {
	s := &v.seats[at]
	high, have := max(o.highestSeen(at).Number, s.leader.doc.Number), 0
	for _, m := range s.marks {
		if m.Number >= high {
			have++
		}
	}
	switch {
	case len(s.marks) > maxMarks:
		return o.deleteMarks(ctx, s.marks[maxMarks:])
	case have < 2:
		return o.createMarks(ctx, session, v, at, high, 2-have)
	}
	_, err := o.commit(ctx, backend.Txn{
		Unchanged: s.unchanged(),
		Ops:       []backend.Op{backend.Delete(s.leader.entry.Key, s.leader.entry.Version)},
	})
	return err
}

// leave deletes a queue entry, whether it exists or not.
func (o *Office) leave(ctx context.Context, nonce string) error {
	_, err := o.commit(ctx, backend.Txn{Ops: []backend.Op{backend.Delete(o.keys.entry(nonce), backend.Version{})}})
	return err
}

// giveUp ends a campaign that failed. Its caller waits for the clean-up for two
// seconds at most; after that it goes on in the background, until the session
// ends: the keys go with it.
func (c *candidate) giveUp() {
	left := c.remains(false)
	if c.session.Context().Err() != nil || !left.leader && !left.entry {
		c.claim.release()
		return
	}
	done := make(chan struct{})
	c.store.CleanUpInBackground(c.session, c.Subject(), func(ctx context.Context) error {
		return c.settle(ctx, c.session, left)
	}, func(error) {
		c.claim.release()
		close(done)
	})
	timer := time.NewTimer(cleanupTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// claim tells the Store's orphan collector which keys of a campaign are in use.
// The collector deletes others under the session: an entry that was created
// after it was given up, or what a restore of the store brought back. Nobody
// else can delete them, and they would block the queue as long as the session
// lives.
type claim struct {
	office        *Office
	nonce         string
	session       *backend.Session
	joined, took  bool        // the queue entry was sent; a take was
	doubt         bool        // the queue entry may be created at any later time
	waits         atomic.Bool // the queue entry is in use
	lives         atomic.Bool // the leader key is
	queue, tenure *backend.Claimant
}

func (o *Office) newClaim(session *backend.Session, nonce string) *claim {
	c := &claim{office: o, nonce: nonce, session: session}
	c.waits.Store(true)
	c.lives.Store(true)
	// What the collector keeps after the end must not be the Office.
	keys := o.keys
	orphaned := &Office{store: o.store, keys: keys, floor: o.floor, spec: Spec{Subject: o.spec.Subject, ID: o.spec.ID, Seats: o.spec.Seats}}
	c.queue = o.store.NewClaimant(keys.queue, func(entry backend.Entry) bool {
		return c.waits.Load() && nonceOf(entry) == nonce
	}, nil)
	c.tenure = o.store.NewClaimant(keys.tenure, func(entry backend.Entry) bool {
		return !keys.isLeader(entry.Key) || c.lives.Load() && parseLeader(entry).doc.Nonce == nonce
	}, func(ctx context.Context, entry backend.Entry) error {
		// The end of its session is near enough, if the key cannot be read.
		return orphaned.settle(ctx, session, &remains{nonce: parseLeader(entry).doc.Nonce, leader: true})
	})
	return c
}

// isLeader reports whether a key of tenure/ is a leader key.
func (k keys) isLeader(key string) bool {
	_, name, err := k.split(path.Base(key))
	return err == nil && name == leaderName
}

// leads says that the take has deleted the queue entry: it is no longer used.
func (c *claim) leads() {
	c.waits.Store(false)
	if c.joined {
		c.queue.GaveUp(c.session, c.doubt)
	}
}

// release ends the claim. The collector looks only where there was a key.
func (c *claim) release() {
	c.waits.Store(false)
	c.lives.Store(false)
	c.office.over(c.nonce)
	c.queue.Close()
	c.tenure.Close()
	if c.joined {
		c.queue.GaveUp(c.session, c.doubt)
	}
	if c.took {
		c.tenure.GaveUp(c.session, false)
	}
}

func nonceOf(entry backend.Entry) string { return path.Base(entry.Key) }
