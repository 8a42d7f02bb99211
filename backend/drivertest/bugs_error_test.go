package drivertest_test

import (
	"context"
	"errors"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// failing makes a bug that changes the errors of every method.
func failing(f func(method string, err error) error) func() hooks {
	return func() hooks {
		return hooks{
			read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
				all, err := b.Driver.Read(ctx, targets...)
				return all, f("Read", err)
			},
			commit: func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
				result, err := b.Driver.Commit(ctx, txn)
				return result, f("Commit", err)
			},
			watch: func(b *broken, ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
				return f("Watch", b.Driver.Watch(ctx, target, changed))
			},
			renew: func(l *lease, ctx context.Context) (time.Duration, error) {
				validFor, err := l.Lease.Renew(ctx)
				return validFor, f("Renew", err)
			},
			revoke: func(l *lease, ctx context.Context) error { return f("Revoke", l.Lease.Revoke(ctx)) },
		}
	}
}

// mistaken makes a bug that takes one error for another.
func mistaken(from, to error) func() hooks {
	return failing(func(_ string, err error) error {
		if errors.Is(err, from) {
			return to
		}
		return err
	})
}

var errorBugs = map[string]bug{
	"invalid arguments are unavailable": {mistaken(driver.ErrInvalid, driver.ErrUnavailable), "C04-errors/invalid"},
	"too large is invalid":              {mistaken(driver.ErrTooLarge, driver.ErrInvalid), "C04-errors/too-large"},
	"half of the largest value": {committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		for _, op := range txn.Ops {
			if len(op.Value) > driver.MaxValueBytes/2 {
				return driver.Result{}, driver.ErrTooLarge
			}
		}
		return b.Driver.Commit(ctx, txn)
	}), "C04-errors/too-large"},
	"indeterminate is unavailable": {failing(func(_ string, err error) error {
		if errors.Is(err, driver.ErrIndeterminate) && errors.Is(err, context.DeadlineExceeded) {
			return errors.Join(driver.ErrUnavailable, context.DeadlineExceeded)
		}
		return err
	}), "C04-errors/indeterminate-when-muted"},
	"unavailable is indeterminate": {failing(func(method string, err error) error {
		if method == "Commit" && errors.Is(err, driver.ErrUnavailable) {
			return errors.Join(driver.ErrIndeterminate, context.DeadlineExceeded)
		}
		return err
	}), "C04-errors/unavailable-when-cut"},
	"reads are indeterminate": {failing(func(method string, err error) error {
		if method == "Read" && errors.Is(err, driver.ErrUnavailable) {
			return driver.ErrIndeterminate
		}
		return err
	}), "C04-errors/unavailable-when-cut C09-contexts/cut"},
	"an error of the client": {failing(func(_ string, err error) error {
		if errors.Is(err, driver.ErrUnavailable) {
			return errors.New("transport is closing")
		}
		return err
	}), "C04-errors/unavailable-when-cut C09-contexts/cut C09-contexts/silence"},
	"the context's error is swallowed": {failing(func(_ string, err error) error {
		for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
			if errors.Is(err, ended) {
				return driver.ErrUnavailable
			}
		}
		return err
	}), "C04-errors/unsent-after-its-context C09-contexts/silence C09-contexts/mute C09-contexts/never-connected"},
	"unsent commit is sent all the same": {committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		result, err := b.Driver.Commit(ctx, txn)
		if errors.Is(err, driver.ErrUnavailable) {
			_, _ = b.Driver.Commit(context.WithoutCancel(ctx), txn)
		}
		return result, err
	}), "C04-errors/unsent-after-its-context"},
	"refused connection queues": {committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		result, err := b.Driver.Commit(ctx, txn)
		if errors.Is(err, driver.ErrUnavailable) && ctx.Err() == nil {
			go func() {
				for errors.Is(err, driver.ErrUnavailable) && b.end.Err() == nil {
					time.Sleep(time.Millisecond)
					_, err = b.Driver.Commit(b.end, txn)
				}
			}()
			return driver.Result{}, driver.ErrUnavailable
		}
		return result, err
	}), "C04-errors/unavailable-when-cut"},
	"retry after an unknown outcome": {committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		for {
			result, err := b.Driver.Commit(ctx, txn)
			if err == nil || ctx.Err() != nil || errors.Is(err, driver.ErrInvalid) {
				return result, err
			}
			time.Sleep(5 * time.Millisecond)
		}
	}), "C04-errors/never-applied-twice"},
	"an unknown outcome is a refusal": {committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		result, err := b.Driver.Commit(ctx, txn)
		if errors.Is(err, driver.ErrIndeterminate) {
			return driver.Result{}, nil
		}
		return result, err
	}), "C04-errors/never-applied-twice C04-errors/indeterminate-when-muted C09-contexts/mute"},
	"lost lease is unavailable": {mistaken(driver.ErrSessionLost, driver.ErrUnavailable), "C06-leases/kept-then-expires C07-dead-leases/expired C07-dead-leases/revoked C07-dead-leases/queued-while-cut"},
	"driver never recovers": {func() hooks {
		dead := false
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			if dead {
				return nil, driver.ErrUnavailable
			}
			all, err := b.Driver.Read(ctx, targets...)
			dead = errors.Is(err, driver.ErrUnavailable)
			return all, err
		}}
	}, "C04-errors/unavailable-when-cut"},
}
