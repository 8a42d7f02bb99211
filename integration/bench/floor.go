package bench

import (
	"context"
	"time"
)

// barePair opens two processes without Quorate, and has the second notified of
// what the first writes.
func barePair(ctx context.Context, l *lab) (pair [2]peer, notified <-chan time.Time, err error) {
	for i := range pair {
		if pair[i], err = l.peer(turned(l.cluster.Addrs(), i), longTTL); err != nil {
			return pair, nil, err
		}
	}
	if err = pair[0].put(ctx, "bare/seen"); err != nil {
		return pair, nil, err
	}
	notified, err = pair[1].watch(ctx, "bare/seen")
	return pair, notified, err
}

// chain takes a commit of one process, the notification of the other, and a
// commit of that: nothing can be handed over by less.
func chain(ctx context.Context, pair [2]peer, notified <-chan time.Time) (float64, error) {
	drain(notified)
	return timed(func() error {
		if err := pair[0].put(ctx, "bare/seen"); err != nil {
			return err
		}
		if _, err := next(ctx, notified); err != nil {
			return err
		}
		return pair[1].put(ctx, "bare/taken")
	})
}
