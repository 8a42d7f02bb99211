package consul

import (
	"context"
	"errors"
	"sync"
)

var errShed = errors.New("gave its connection to another call")

// queries bounds the blocking queries of single targets.
type queries struct {
	mu    sync.Mutex
	limit int
	open  map[*query]struct{}
}

// query is the right to one of them.
type query struct{ shed context.CancelCauseFunc }

// take returns the right to a blocking query, whose context ends when it is
// shed, or nil when there are enough already.
func (q *queries) take(ctx context.Context) (*query, context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.open) >= q.limit {
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
