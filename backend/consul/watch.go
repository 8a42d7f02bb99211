package consul

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// maxPause bounds the random pause before a target is read from scratch, so
// that many watches that were woken by one event do not come all at once.
const maxPause = 20 * time.Millisecond

// Watch waits with a blocking query of its own while there are not too many of
// them, and shares that of the prefix watcher otherwise.
func (d *Driver) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if err := driver.CheckTargets(target); err != nil {
		return err
	}
	deliver := driver.Differing(changed)
	if one, query := d.queries.acquire(ctx); one != nil {
		err := d.follow(query, target, deliver)
		d.queries.release(one)
		if !errors.Is(context.Cause(query), errReclaimed) || ctx.Err() != nil {
			return driver.Ended(ctx, err)
		}
	}
	return driver.Ended(ctx, d.prefixes.follow(ctx, target, deliver))
}

// follow watches target with blocking queries until one fails.
func (d *Driver) follow(ctx context.Context, target driver.Target, deliver func([]driver.Entry)) error {
	scratch := func() (state, error) {
		states, err := look(ctx, func(ctx context.Context) ([]state, error) { return d.read(ctx, []driver.Target{target}) })
		if err != nil {
			return state{}, err
		}
		return states[0], nil
	}
	now, err := scratch()
	if err != nil {
		return err
	}
	for {
		deliver(now.entries)
		next, err := d.await(ctx, target, now.index)
		if err != nil {
			return err
		}
		if next.index <= now.index || target.Dir && len(next.entries) == 0 {
			// Nothing new, the wait over or not: the store may have been
			// replaced under the query. Or less than before: it was, or
			// tombstones were collected. Or nothing at all, which permission
			// alone may explain. A plain read tells.
			if err := pause(ctx); err != nil {
				return err
			}
			if next, err = scratch(); err != nil {
				return err
			}
		}
		now = next
	}
}

// await is a blocking query that also returns, with nothing, when calls get
// through again after a failure.
func (d *Driver) await(ctx context.Context, target driver.Target, after uint64) (state, error) {
	m := d.indexes.mark()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(d.health.recovery(), func() { cancel(errRecovered) })
	defer stop()
	next, err := d.query(ctx, m, target, after)
	if errors.Is(context.Cause(ctx), errRecovered) {
		return state{}, nil
	}
	return next, err
}

var errRecovered = errors.New("asked again after a failure")

// pause waits a random moment.
func pause(ctx context.Context) error { return driver.Sleep(ctx, rand.N(maxPause)) }
