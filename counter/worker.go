package counter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/removable"
)

// errUnknown: the document does not say any more whether a commit was applied.
var errUnknown = fmt.Errorf("%w: the document no longer tells", backend.ErrIndeterminate)

// work settles what is queued, batch after batch, and ends when there is
// nothing left to do.
func (c *Counter) work() {
	for {
		ctx, ok := c.begin()
		if !ok {
			return
		}
		if err := c.store.Retry(ctx, c.label, "commit", c.settle); err != nil {
			if c.doubt {
				err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
			}
			c.finish(err)
		}
		c.abandon() // frees ctx
		// Callers of this batch may come again at once. They belong in the next
		// batch.
		runtime.Gosched()
	}
}

// begin starts a batch, if anything is queued. The batch's context ends when
// nobody waits for it any more: each caller has a context of its own, and
// there is no other bound.
func (c *Counter) begin() (ctx context.Context, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = slices.DeleteFunc(c.queue, func(op *operation) bool { return op.done })
	if c.working = len(c.queue) > 0; !c.working {
		return nil, false
	}
	ctx, c.abandon = context.WithCancel(context.Background())
	c.turns.begin(time.Now())
	return ctx, true
}

// gather takes into the batch what is queued, and out of it whoever waits no
// longer. It reports false once the batch is abandoned. A batch of which a
// commit is in doubt stays as it was sent.
func (c *Counter) gather(ctx context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return false
	case c.doubt:
		return true
	}
	for _, op := range c.queue {
		op.taken = true
		c.batch = append(c.batch, op)
	}
	clear(c.queue)
	c.queue = c.queue[:0]
	c.batch = slices.DeleteFunc(c.batch, func(op *operation) bool { return op.done })
	if c.live = len(c.batch); c.live == 0 {
		c.abandon()
	}
	return c.live > 0
}

// settle brings the batch to its end. After an error it can be called again
// and goes on where it was; unless the batch is in doubt, nothing of it is
// applied then.
func (c *Counter) settle(ctx context.Context) error {
	for {
		if !c.gather(ctx) {
			return ctx.Err()
		}
		if c.awaitTurn(ctx) {
			continue
		}
		var wait time.Duration
		fresh := !c.known || c.unsettled // read after all of the batch was queued
		if fresh {
			if ended, err := c.look(ctx); ended || err != nil {
				return err
			}
			if err := c.unknown; err != nil {
				// The commit was not applied so far: Retry pauses before it is sent
				// again, since the store may answer all of them like this.
				c.unknown = nil
				return err
			}
			if !c.doubt {
				wait = c.turns.pause(&c.base, time.Now(), false)
			}
		}
		value, send := c.evaluate(wait == 0)
		switch {
		case !send && fresh:
			c.finish(nil)
			return nil
		case !send:
			c.known = false // only who has seen the present value may refuse
			continue
		case wait > 0:
			c.turns.next = time.Now().Add(wait)
			continue
		}
		if ended, err := c.commit(ctx, value); ended || err != nil {
			return err
		}
	}
}

// awaitTurn waits until the Counter may commit, and reports whether it had to.
// After a wait the known document is out of date. A batch in doubt does not
// wait, because it is to be settled first.
func (c *Counter) awaitTurn(ctx context.Context) bool {
	if c.doubt {
		return false
	}
	c.known = c.known && !c.turns.look
	wait := time.Until(c.turns.next)
	if wait <= 0 {
		return false
	}
	c.known = false
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return true
}

// evaluate applies the operations of the batch to the base, one after the other.
// It returns the value after them, and whether there is anything to commit: a
// refused operation changes nothing. If the batch is to be sent now, an accepted
// operation may be applied from then on.
func (c *Counter) evaluate(now bool) (value int64, send bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value = c.base.Value
	for _, op := range c.batch {
		value = op.try(value, c.min, c.max)
		send = send || op.accepted
	}
	c.flying = send && now
	return value, send
}

// commit sends the batch, on condition that the document is still the base. It
// reports whether that was the end of the batch.
func (c *Counter) commit(ctx context.Context, value int64) (ended bool, err error) {
	c.sent = c.base.with(entry{Writer: c.writer, Seq: c.seq, Result: value}, c.limit)
	c.turns.mark(&c.sent)
	look := c.base.look
	txn := look.Write(encode(&c.sent), c.base.version)
	start := time.Now()
	result, err := c.store.Commit(ctx, txn)
	c.land(err)
	switch {
	case errors.Is(err, backend.ErrIndeterminate):
		c.unsettled, c.unknown = true, err
		return false, nil
	case err != nil:
		return false, err // not applied, by this commit at least
	case result.Applied:
		c.base = base{c.sent, look, result.Versions[0]}
		c.turns.applied(start, time.Now(), &c.base)
		c.finish(nil)
		return true, nil
	case c.doubt:
		c.unsettled = true // an earlier one may have been applied
		return false, nil
	}
	// Refused, and never in doubt: surely not applied, whatever the document
	// says. The document that came with the refusal is the next base.
	c.known = false
	entry, found := result.Current[look.Key]
	if !found { // it was deleted, or the floor was raised, or could not be read
		c.turns.refused(start, time.Now(), nil)
		return false, nil
	}
	if c.base, err = baseOf(removable.Look{Key: look.Key, Entry: entry, Found: true}); err != nil {
		return false, err
	}
	c.known = true
	c.turns.refused(start, time.Now(), &c.base)
	return false, nil
}

// land notes that no commit is under way any more.
func (c *Counter) land(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying = false
	c.doubt = c.doubt || errors.Is(err, backend.ErrIndeterminate)
}

// look reads the document and makes it the base, and settles by it what is in
// doubt. It reports whether that was the end of the batch; otherwise nothing
// of it is applied, and it is to be sent, or sent again under the same number.
//
// "Not applied" does not mean "never": where the document still is the base,
// the commit in doubt may yet land. But then what is sent next is the very
// same on the very same condition, and only one of the two can land.
func (c *Counter) look(ctx context.Context) (ended bool, err error) {
	seen, err := c.place.Look(ctx)
	if err != nil {
		return false, err
	}
	now, err := baseOf(seen)
	if err != nil {
		return false, err
	}
	before := c.base
	c.base, c.known = now, true
	if !c.unsettled {
		return false, nil
	}
	c.unsettled = false
	switch own, fate := decide(&before, &now, c.writer, c.seq); fate {
	case applied:
		c.finish(c.shift(own.Result - c.sent.Value))
		return true, nil
	case unknown:
		c.finish(errUnknown)
		return true, nil
	default: // notApplied
		return false, nil
	}
}

// fate is what became of a commit.
type fate int

const (
	notApplied fate = iota
	applied
	unknown
)

// decide says what became of a writer's commit of number seq on the base
// before, by the document as it is now.
func decide(before, now *base, writer string, seq uint64) (entry, fate) {
	own, found := now.by(writer)
	switch {
	case found && own.Seq == seq:
		return own, applied
	case before.look.Key != now.look.Key:
		return own, unknown // deleted since
	case before.exists() && !now.exists():
		return own, unknown // deleted by hand, or restored to before it was there
	case found && own.Seq < seq:
		return own, notApplied // its entry would stand in place of that one
	case !found && now.Dropped == before.Dropped:
		return own, notApplied // none was pushed out since, so there was none
	default:
		return own, unknown
	}
}

// shift corrects the outcomes of a batch that was applied on another base than
// the one it was last sent on. That takes a store that went back and an old
// commit that landed then; what depends on the value is not known in that case.
func (c *Counter) shift(by int64) error {
	if by == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, op := range c.batch {
		if op.compare || !op.accepted {
			return errUnknown
		}
	}
	for _, op := range c.batch {
		op.value += by
	}
	return nil
}

// finish ends the batch: every operation gets its outcome, or err. An operation
// that was refused had no part in a commit in doubt, and goes back into the
// queue.
// The next batch takes the next number.
func (c *Counter) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var again []*operation
	for _, op := range c.batch {
		if errors.Is(err, backend.ErrIndeterminate) && !op.accepted && !op.done {
			op.taken = false
			again = append(again, op)
			continue
		}
		if err != nil {
			op.err = err
		}
		op.settle()
	}
	if len(again) > 0 {
		c.queue = append(again, c.queue...)
	}
	clear(c.batch)
	c.batch = c.batch[:0]
	c.live, c.doubt, c.unsettled, c.unknown = 0, false, false, nil
	c.seq++
}
