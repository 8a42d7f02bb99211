package consul

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

var errShed = errors.New("gave its connection to another call")

// queries bounds the blocking queries of single targets.
//
// A server does not notice that nobody waits for a blocking query any more, or
// that its connection is gone: it keeps it, and with it the connection, until
// there is a change or the wait is over. So one that was abandoned counts until
// then.
type queries struct {
	mu        sync.Mutex
	limit     int
	open      map[*query]struct{}
	abandoned []time.Time // until when each is kept
}

// query is the right to one of them.
type query struct{ shed context.CancelCauseFunc }

// take returns the right to a blocking query, whose context ends when it is
// shed, or nil when there are enough already.
func (q *queries) take(ctx context.Context) (*query, context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.open)+q.kept() >= q.limit {
		return nil, ctx
	}
	ctx, cancel := context.WithCancelCause(ctx)
	one := &query{shed: cancel}
	if q.open == nil {
		q.open = make(map[*query]struct{})
	}
	q.open[one] = struct{}{}
	return one, ctx
}

// kept returns how many abandoned queries the server may keep; q.mu is held.
func (q *queries) kept() int {
	now := time.Now()
	q.abandoned = slices.DeleteFunc(q.abandoned, func(until time.Time) bool { return now.After(until) })
	return len(q.abandoned)
}

// spare reports whether all may be abandoned and asked again: that makes three
// times the limit at most.
func (q *queries) spare() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.kept() <= q.limit
}

// abandon notes queries that a server keeps, each until an instant at the latest.
func (q *queries) abandon(until ...time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.abandoned = append(q.abandoned, until...)
}

func (q *queries) give(one *query) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, one)
	one.shed(nil)
}

// shed takes back one right for good: the client's transport allows fewer
// connections than Options.MaxBlockingQueries. It reports whether there was
// one to take.
func (q *queries) shed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for one := range q.open {
		q.limit = len(q.open) - 1
		delete(q.open, one)
		one.shed(errShed)
		return true
	}
	return false
}
