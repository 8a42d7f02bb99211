package membership

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Watch streams views. The first comes as soon as the members have been read,
// or come from Options.SnapshotFile. Another follows each time that something
// has changed, or the view has become stale or is no longer stale. Changes
// within a fifth of a second may come as one view. If the consumer is slow,
// views may be left out, never the last. View.Change is relative to the last
// view delivered.
//
// The stream ends with an error: with the cause of ctx's end, with
// backend.ErrClosed, or with backend.ErrDenied if the store refuses the watch.
// Any number of Watches of a Group, and of Groups of that name over one Store,
// cost the store one watch.
func (g *Group) Watch(ctx context.Context) iter.Seq2[View, error] {
	return func(yield func(View, error) bool) {
		g.start()
		g.mu.Lock()
		refusals := g.refusals
		g.mu.Unlock()
		var last View
		for first := true; ; {
			v, changed, ages := g.fresh(last, first)
			g.mu.Lock()
			refused := g.refusedSince(refusals)
			g.mu.Unlock()
			if refused != nil {
				yield(View{}, fmt.Errorf("membership %q: watch: %w", g.name, refused))
				return
			}
			if ctx.Err() == nil && g.life.Err() == nil && v != nil {
				v.Change = changeFrom(last.Members, v.Members)
				first, last = false, *v
				if !yield(*v, nil) {
					return
				}
				continue
			}
			timer := time.NewTimer(ages)
			select {
			case <-changed:
			case <-timer.C:
			case <-ctx.Done():
			case <-g.life.Done():
			}
			timer.Stop()
			for _, over := range []context.Context{ctx, g.life} {
				if over.Err() != nil {
					yield(View{}, fmt.Errorf("membership %q: watch: %w", g.name, context.Cause(over)))
					return
				}
			}
		}
	}
}

// fresh returns a view if it is news after last, what is closed when there may
// be others, and when age alone may be news.
func (g *Group) fresh(last View, first bool) (v *View, changed <-chan struct{}, ages time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.view(time.Now())
	// The age counts from the last renewal; it is looked at again when it would
	// be too much if there were none.
	if ages = g.ttl(); !now.Stale {
		ages = max(ages-now.Age+time.Millisecond, gather)
	}
	switch {
	case first && !now.Synced && g.loaded.IsZero():
	case first || now.number != last.number || now.Synced != last.Synced || now.Stale != last.Stale:
		v = &now
	}
	return v, g.changed, ages
}
