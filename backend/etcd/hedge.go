package etcd

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Attempts of a hedged call, and the shortest pause between two.
const (
	attempts = 3
	minPause = 20 * time.Millisecond
	maxPause = time.Second
)

// hedged makes a call and, when no answer has come after a fifth of the time
// that is left, makes it again beside the first, and once more. The servers are
// taken in turn, so the next attempt goes to another one;
// that the first is slow does not lose its answer. The first answer counts,
// and so does the first refusal; what failed for want of a connection or of a
// leader is made good by a later attempt. To tell the two apart it needs the
// errors as the client returned them, not classified.
func hedged[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pause := maxPause
	if deadline, ok := ctx.Deadline(); ok {
		pause = min(pause, max(time.Until(deadline)/5, minPause))
	}
	type outcome struct {
		value T
		err   error
	}
	outcomes := make(chan outcome, attempts)
	timer := time.NewTimer(0)
	defer timer.Stop()
	started, ended := 0, 0
	for {
		select {
		case <-timer.C:
			if started < attempts {
				started++
				go func() {
					value, err := call(ctx)
					outcomes <- outcome{value, err}
				}()
				timer.Reset(pause)
			}
		case o := <-outcomes:
			ended++
			if o.err == nil || ended == attempts || ctx.Err() != nil || !passing(o.err) {
				return o.value, o.err
			}
		case <-ctx.Done():
			var none T
			return none, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// passing reports whether another attempt, elsewhere, may fare better.
func passing(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.Internal || code == codes.Unknown
}
