package drivertest_test

import (
	"context"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// unbounded makes a bug that calls a driver without its caller's context.
func unbounded() hooks {
	return hooks{
		read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			return b.Driver.Read(context.WithoutCancel(ctx), targets...)
		},
		commit: func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
			return b.Driver.Commit(context.WithoutCancel(ctx), txn)
		},
	}
}

// leak leaves a goroutine behind.
func leak(b *broken) { go func() { <-b.end.Done() }() }

var closeBugs = map[string]bug{
	"calls outlive their contexts": {unbounded, "C09-contexts/silence C09-contexts/mute C09-contexts/never-connected C04-errors/unsent-after-its-context"},
	"a call never returns": {func() hooks {
		return hooks{renew: func(l *lease, ctx context.Context) (time.Duration, error) {
			validFor, err := l.Lease.Renew(ctx)
			if err != nil {
				<-l.b.end.Done()
			}
			return validFor, err
		}}
	}, "C09-contexts/silence C09-contexts/cut"},
	"connecting takes its time": {func() hooks {
		return hooks{grant: func(b *broken, ctx context.Context, ttl time.Duration) (driver.Lease, error) {
			l, err := b.Driver.Grant(ctx, ttl)
			if err != nil {
				time.Sleep(3 * time.Second) // the handshake's own timeout
				return nil, err
			}
			return &lease{l, b}, nil
		}}
	}, "C09-contexts/never-connected"},
	"Close waits for the store": {func() hooks {
		return hooks{close: func(b *broken, ctx context.Context) error {
			_, _ = b.Driver.Read(context.WithoutCancel(ctx), driver.Key("a"))
			return b.Driver.Close(ctx)
		}}
	}, "C10-close/silence C10-close/mute C10-close/never-used"},
	"Close never returns": {func() hooks {
		return hooks{close: func(b *broken, ctx context.Context) error {
			err := b.Driver.Close(ctx)
			<-b.end.Done()
			return err
		}}
	}, "C10-close/idle C10-close/never-used"},
	"Close waits for calls": {func() hooks {
		var calls driver.Running
		return hooks{
			read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
				if calls.Enter() {
					defer calls.Leave()
				}
				return b.Driver.Read(ctx, targets...)
			},
			close: func(b *broken, ctx context.Context) error {
				_ = calls.Close(context.WithoutCancel(ctx))
				return b.Driver.Close(ctx)
			},
		}
	}, "C10-close/call-under-way"},
	"a new generation is not announced": {func() hooks {
		return hooks{ended: func(*broken) <-chan struct{} { return make(chan struct{}) }}
	}, "C12-versions/restore"},
	"a goroutine stays after Close": {func() hooks {
		return hooks{close: func(b *broken, ctx context.Context) error {
			leak(b)
			return b.Driver.Close(ctx)
		}}
	}, "C10-close/idle C10-close/silence C10-close/mute C10-close/cut C10-close/never-used"},
	"a goroutine stays after each call without a reply": {func() hooks {
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			all, err := b.Driver.Read(ctx, targets...)
			if err != nil {
				leak(b)
			}
			return all, err
		}}
	}, "C10-close/silence C10-close/mute"},
}
