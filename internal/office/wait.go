package office

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"github.com/quorate/quorate/backend"
)

// relistEvery is how often a waiting candidate reads the queue again, though no
// watch has called it: a backstop.
const relistEvery = 10 * time.Minute

var errRelist = errors.New("time to look again")

// waitBehind watches the entry ahead until it is gone or was put, and then
// waits at the head if the owner of that entry leads in turn. It returns what
// waitAtHead returns; a nil view calls for another round of reads.
func (c *candidate) waitBehind(ctx context.Context, ahead backend.Entry) (*view, error) {
	ctx, cancel := c.relist(ctx)
	defer cancel()
	gone, err := c.watchAhead(ctx, ahead)
	if err != nil || !gone {
		return nil, notRelist(err)
	}
	return c.watchTenure(ctx, nonceOf(ahead))
}

// watchAhead reports whether the entry ahead is gone; if not, it is time for
// another round of reads.
func (c *candidate) watchAhead(ctx context.Context, ahead backend.Entry) (gone bool, err error) {
	w, err := c.store.Watch(backend.Key(ahead.Key))
	if err != nil {
		return false, err
	}
	defer w.Close()
	for {
		if err := w.Next(ctx); err != nil {
			return false, err
		}
		now := w.Entries(0)
		switch {
		case len(now) == 0:
			return true, nil
		case now[0].Modified != ahead.Modified:
			return false, nil
		case now[0].Version != ahead.Version:
			if again, err := c.newGeneration(ctx); again || err != nil {
				return false, err
			}
			ahead = now[0]
		}
	}
}

// waitAtHead watches tenure/ until a seat is free, and returns what the
// watch shows then. A nil view calls for another round of reads.
func (c *candidate) waitAtHead(ctx context.Context) (*view, error) {
	ctx, cancel := c.relist(ctx)
	defer cancel()
	return c.watchTenure(ctx, "")
}

// watchTenure is waitAtHead. If the candidate has moved up because the entry of
// before is gone, the first state that the watch shows must have that one as a
// leader in turn: only then is the candidate known to be the head.
func (c *candidate) watchTenure(ctx context.Context, before string) (*view, error) {
	w, err := c.store.Watch(backend.Dir(c.keys.tenure))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	for {
		if err := w.Next(ctx); err != nil {
			return nil, notRelist(err)
		}
		v := c.viewOf(w.Entries(0))
		if before != "" {
			if !v.ledBy(before) {
				return nil, nil
			}
			before = ""
		}
		next := c.byWatch(&v, c.open(&v)).step
		switch stale := v.generation() != c.version.Generation; {
		case c.calls(&v), next != takeInTurn && next != waitAtHead:
			return nil, nil
		case next == takeInTurn && !stale:
			return &v, nil
		case stale:
			if again, err := c.newGeneration(ctx); again || err != nil {
				return nil, notRelist(err)
			}
			if next == takeInTurn {
				return &v, nil
			}
		}
	}
}

// calls reports whether a view calls for a round of reads by itself: the limit
// is gone, a number is to be raised, or a leader key is the candidate's.
func (c *candidate) calls(v *view) bool {
	_, held := v.heldBy(c.nonce, c.session)
	return held || c.limited && !v.limit.exists || c.outdated(v)
}

// newGeneration is for a driver that may have another store before it: it
// reads the own entry and tenure/, but not the queue, and reports whether a
// round of reads is called for.
func (c *candidate) newGeneration(ctx context.Context) (again bool, err error) {
	var own []backend.Entry
	var v view
	err = c.store.RetryUnder(ctx, c.session, c.Subject(), "campaign", func(ctx context.Context) error {
		read, err := c.store.Read(ctx, backend.Key(c.entry), backend.Dir(c.keys.tenure))
		if err == nil {
			own, v = read[0], c.viewOf(read[1])
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if len(own) == 0 || c.calls(&v) {
		return true, nil
	}
	c.version = own[0].Version
	return false, nil
}

// relist returns a context that ends with errRelist when it is time for another
// round of reads: after a while, or when the own priority has changed.
func (c *candidate) relist(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	again := func() { cancel(errRelist) }
	timer := time.AfterFunc(relistEvery+mathrand.N(relistEvery/2), again)
	stop := context.AfterFunc(c.reranked, again)
	return ctx, func() {
		timer.Stop()
		stop()
		cancel(nil)
	}
}

// notRelist returns err, nil if it says that it is time to look again.
func notRelist(err error) error {
	if errors.Is(err, errRelist) {
		return nil
	}
	return err
}
