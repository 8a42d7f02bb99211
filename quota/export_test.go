package quota

import (
	"context"
	"time"
)

// SetClock has the quota ask another clock for the time.
func SetClock(q *Quota, wall func() time.Time) { q.wall = wall }

// Take is Take, and says in which window the units were granted.
func Take(ctx context.Context, q *Quota, n int64) (granted bool, window int64, err error) {
	return q.take(ctx, n)
}
