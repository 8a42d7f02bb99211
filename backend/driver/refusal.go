package driver

import (
	"context"
	"errors"
	"fmt"
)

// Keys returns the keys that txn names, in its order.
func (txn Txn) Keys() []string {
	keys := make([]string, 0, len(txn.Unchanged)+len(txn.Ops))
	for _, c := range txn.Unchanged {
		keys = append(keys, c.Key)
	}
	for _, op := range txn.Ops {
		keys = append(keys, op.Key)
	}
	return keys
}

// Refused returns the result of a commit that was surely not applied (C3). It
// reads the keys that txn names; if that fails, Current is nil.
func Refused(ctx context.Context, txn Txn, read func(context.Context, []Target) ([][]Entry, error)) Result {
	keys := txn.Keys()
	targets := make([]Target, len(keys))
	for i, key := range keys {
		targets[i] = Key(key)
	}
	states, err := read(ctx, targets)
	if err != nil {
		return Result{}
	}
	current := make(map[string]Entry, len(keys))
	for _, entries := range states {
		for _, e := range entries {
			current[e.Key] = e
		}
	}
	return Result{Current: current}
}

// NotSent returns the error of a call whose context ended before anything was
// sent, and nil while ctx lives.
func NotSent(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%w: not sent: %w", ErrUnavailable, ctx.Err())
}

// Ended adds the error of a context that has ended to err, unless err is nil or
// wraps it already (C4).
func Ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w: %w", err, ctx.Err())
}
