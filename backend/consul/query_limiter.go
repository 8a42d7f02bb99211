package consul

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// errReclaimed ends a blocking query whose connection another call needs.
var errReclaimed = errors.New("gave its connection to another call")

// limitRestored is how long the limit stays lowered. A call that got no
// connection in time may have waited for a slow dial rather than for a bound of
// the transport; if there is a bound, the limit is lowered again.
const limitRestored = time.Minute

// queryLimiter bounds the blocking queries of single targets.
//
// A server does not notice that nobody waits for a blocking query any more, or
// that its connection is gone: it keeps it, and with it the connection, until
// there is a change or the wait is over. So one that was abandoned counts until
// then.
type queryLimiter struct {
	max int // from the options

	mu        sync.Mutex // guards the fields below
	lowered   int        // by how much the limit is below max
	since     time.Time  // when it was last lowered, or raised again by one
	open      map[*query]struct{}
	abandoned []time.Time // until when each is kept
}

// query is the right to one blocking query.
type query struct{ reclaim context.CancelCauseFunc }

// acquire returns the right to a blocking query, whose context ends when it is
// reclaimed, or nil when there are enough already.
func (q *queryLimiter) acquire(ctx context.Context) (*query, context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.lowered > 0 && time.Since(q.since) >= limitRestored {
		q.lowered--
		q.since = q.since.Add(limitRestored)
	}
	if len(q.open)+q.kept() >= q.max-q.lowered {
		return nil, ctx
	}
	ctx, cancel := context.WithCancelCause(ctx)
	one := &query{reclaim: cancel}
	if q.open == nil {
		q.open = make(map[*query]struct{})
	}
	q.open[one] = struct{}{}
	return one, ctx
}

// kept returns how many abandoned queries the server may keep; q.mu is held.
func (q *queryLimiter) kept() int {
	now := time.Now()
	q.abandoned = slices.DeleteFunc(q.abandoned, func(until time.Time) bool { return now.After(until) })
	return len(q.abandoned)
}

// mayRepeat reports whether all queries may be abandoned and asked again: that
// makes three times the limit at most.
func (q *queryLimiter) mayRepeat() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.kept() <= q.max-q.lowered
}

// abandon notes queries that a server keeps, each until an instant at the latest.
func (q *queryLimiter) abandon(until ...time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.abandoned = append(q.abandoned, until...)
}

// release gives a right back.
func (q *queryLimiter) release(one *query) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, one)
	one.reclaim(nil)
}

// lower takes one right back and lowers the limit below what is open: the
// client's transport seems to allow fewer connections than
// Options.MaxBlockingQueries. It reports whether there was one to take.
func (q *queryLimiter) lower() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for one := range q.open {
		q.lowered, q.since = q.max-(len(q.open)-1), time.Now()
		delete(q.open, one)
		one.reclaim(errReclaimed)
		return true
	}
	return false
}
