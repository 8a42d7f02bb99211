package office

import (
	"context"
	"errors"
	"time"

	"github.com/quorate/quorate/backend"
)

// rank is a priority that may change.
type rank struct {
	priority int
	current  context.Context // ends when the priority changes
	changed  context.CancelFunc
}

func (r *rank) set(priority int) {
	if r.changed != nil {
		r.changed()
	}
	r.priority = priority
	r.current, r.changed = context.WithCancel(context.Background())
}

// SetPriority changes the priority of this process as a candidate and as a
// holder.
func (o *Office) SetPriority(priority int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if priority != o.prio.priority {
		o.prio.set(priority)
	}
}

// priority returns the priority, and a context that ends when it changes.
func (o *Office) priority() (int, context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.prio.priority, o.prio.current
}

// entryValue is the value of the queue entry.
func (c *candidate) entryValue() []byte {
	return encode(entryDocument{Holder: c.spec.ID, Priority: c.rank})
}

// ranks are the operations of a commit that gives a queue entry a priority: the
// order says from then on that there are priorities.
func (c *candidate) ranks(v *view) []backend.Op {
	if c.rank == 0 || c.keys.seats {
		return nil
	}
	return v.order.put(c.keys.order, true)
}

// put is the operation that makes the order say whether there are priorities;
// none if it says that there are.
func (k *orderKey) put(key string, priorities bool) []backend.Op {
	value := encode(orderDocument{Priorities: priorities})
	switch {
	case !k.exists:
		return []backend.Op{backend.Create(key, value)}
	case !k.priorities:
		return []backend.Op{backend.Put(key, value, k.entry.Version)}
	}
	return nil
}

// putRank puts the own priority into the queue entry. Those that wait behind this
// candidate watch the entry, and look at the queue again.
func (c *candidate) putRank(ctx context.Context, v *view) error {
	ops := append([]backend.Op{backend.Put(c.entry, c.entryValue(), c.version)}, c.ranks(v)...)
	_, err := c.commit(ctx, backend.Txn{Ops: ops})
	if errors.Is(err, backend.ErrIndeterminate) && ctx.Err() == nil {
		return nil // the next round tells
	}
	return err
}

// errOutranked is why a holder steps down for a candidate with a higher priority.
var errOutranked = errors.New("a candidate with a higher priority waits")

// yield steps down once a candidate with a higher priority has waited for Settle,
// as seen by this holder. So an office moves for a priority once per Settle.
func (t *Tenure) yield() {
	settle := t.office.spec.Settle
	if settle == 0 {
		settle = t.session.TTL()
	}
	w, err := t.office.store.Watch(backend.Dir(t.office.keys.queue))
	if err != nil {
		return // the watch of the tenure fails too
	}
	defer w.Close()
	var higher string // the nonce of the candidate that has waited since
	var since time.Time
	for {
		own, reranked := t.office.priority()
		var queue []waiter
		if entries := w.Entries(0); len(entries) > 0 {
			queue = t.office.queueOf(entries)
		}
		switch {
		case len(queue) == 0 || queue[0].doc.Priority <= own:
			higher = ""
		case nonceOf(queue[0].Entry) != higher:
			higher, since = nonceOf(queue[0].Entry), time.Now()
		case time.Since(since) >= settle:
			t.StepDown(errOutranked)
			return
		}
		if err := t.nextOf(reranked, w, higher != "", since.Add(settle)); err != nil {
			return
		}
	}
}

// nextOf waits for the next state of a watch, for the end of reranked, or if
// bounded for an instant.
func (t *Tenure) nextOf(reranked context.Context, w *backend.Watcher, bounded bool, until time.Time) error {
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	again := func() { cancel(errRelist) }
	defer context.AfterFunc(reranked, again)()
	if bounded {
		defer time.AfterFunc(time.Until(until), again).Stop()
	}
	return notRelist(w.Next(ctx))
}
