package quota

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/backend"
)

// refill waits for its turn and reserves units for a call that takes n, unless
// another call has done so meanwhile.
func (q *Quota) refill(ctx context.Context, n int64) error {
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return q.store.Retry(ctx, q.label, "reserve", func(ctx context.Context) error {
		return q.reserve(ctx, n)
	})
}

// reserve adds units to the share, on condition that the document is as it was
// read. It returns nil once the share can answer the call: with enough units, or
// because the window has none.
//
// A reservation of unknown outcome is given up, whatever became of it, and the next
// attempt takes other units. So no reply that is lost has a unit handed out twice.
func (q *Quota) reserve(ctx context.Context, n int64) error {
	look, err := q.place.Look(ctx)
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		read, err := stateOf(look)
		if err != nil {
			return err
		}
		next, units := q.plan(read, n)
		if units == 0 {
			return nil
		}
		began := time.Now()
		result, err := q.store.Commit(ctx, look.Write(encode(next), look.Entry.Version))
		switch {
		case err != nil:
			return err
		case result.Applied:
			q.gain(next, units)
			return nil
		}
		// Another process was faster. The pause lets it, and others, finish.
		if err := backend.Sleep(ctx, rand.N(time.Since(began)*time.Duration(min(attempt, 8))+1)); err != nil {
			return err
		}
		if look, err = q.place.Look(ctx); err != nil {
			return err
		}
	}
}

// plan returns the state that a reservation for a call of n makes of the one that
// was read, and how many units it reserves: none if the share can answer the call.
func (q *Quota) plan(read state, n int64) (next state, units int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.note(read)
	start := q.present(q.wall())
	q.enter(start)
	used := int64(0)
	if start == q.seen.Start {
		used = q.seen.Used
	}
	remaining := max(q.limit-used, 0)
	if q.share.left >= n || q.share.left+remaining < n {
		return state{}, 0
	}
	units = q.size(n, remaining)
	return state{Start: start, Used: used + units}, units
}

// gain adds to the share what was reserved.
func (q *Quota) gain(now state, units int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.note(now)
	if q.share.start == now.Start {
		q.share.left += units
	}
}
