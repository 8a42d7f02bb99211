package drivertest_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// committing makes a bug of a Commit.
func committing(f func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error)) func() hooks {
	return func() hooks { return hooks{commit: f} }
}

// altered makes a bug that commits something else than what it was given.
func altered(f func(b *broken, txn *driver.Txn)) func() hooks {
	return committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		if err := txn.Check(); err != nil {
			return driver.Result{}, err
		}
		txn.Unchanged, txn.Ops = slices.Clone(txn.Unchanged), slices.Clone(txn.Ops)
		n := len(txn.Ops)
		f(b, &txn)
		result, err := b.Driver.Commit(ctx, txn)
		if len(result.Versions) > n {
			result.Versions = result.Versions[:n]
		}
		return result, err
	})
}

// answered makes a bug that changes the answer of a commit.
func answered(f func(txn driver.Txn, r *driver.Result)) func() hooks {
	return committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		result, err := b.Driver.Commit(ctx, txn)
		if err == nil {
			f(txn, &result)
		}
		return result, err
	})
}

// now returns a key's entry as the driver reads it.
func now(b *broken, key string) (driver.Entry, bool) {
	all, err := b.Driver.Read(context.Background(), driver.Key(key))
	if err != nil || len(all[0]) == 0 {
		return driver.Entry{}, false
	}
	return all[0][0], true
}

// inParts applies the operations one by one.
func inParts(order func([]int)) func() hooks {
	return committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		if len(txn.Ops) < 2 || len(txn.Unchanged) > 0 {
			return b.Driver.Commit(ctx, txn)
		}
		indexes := make([]int, len(txn.Ops))
		for i := range indexes {
			indexes[i] = i
		}
		order(indexes)
		whole := driver.Result{Applied: true, Versions: make([]driver.Version, len(txn.Ops))}
		for _, i := range indexes {
			part := driver.Txn{Ops: txn.Ops[i : i+1]}
			if txn.Ops[i].Ephemeral {
				part.Lease = txn.Lease
			}
			result, err := b.Driver.Commit(ctx, part)
			if err != nil || !result.Applied {
				return result, err
			}
			whole.Versions[i] = result.Versions[0]
			time.Sleep(3 * time.Millisecond)
		}
		return whole, nil
	})
}

var commitBugs = map[string]bug{
	"operations one by one": {inParts(func([]int) {}), "C02-atomicity/two-keys-move-together C02-atomicity/key-moves-at-one-instant " +
		"C03-refusal/create-of-a-key-that-is-there C03-refusal/put-of-an-absent-key C03-refusal/put-of-a-changed-key " +
		"C03-refusal/delete-of-an-absent-key C03-refusal/delete-of-a-changed-key C05-order/created"},
	"operations one by one, backwards": {inParts(slices.Reverse), "C02-atomicity/two-keys-move-together C02-atomicity/key-moves-at-one-instant"},
	"conditions ignored": {altered(func(_ *broken, txn *driver.Txn) {
		if len(txn.Ops) > 0 {
			txn.Unchanged = nil
		}
	}), "C03-refusal/condition-on-an-absent-key C03-refusal/condition-on-a-changed-key C12-versions/unique-key-after-recreation"},
	"conditions alone always hold": {committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		if len(txn.Ops) == 0 && len(txn.Unchanged) > 0 {
			return driver.Result{Applied: true}, nil
		}
		return b.Driver.Commit(ctx, txn)
	}), "C03-refusal/conditions-alone C14-directories/parents-are-no-keys"},
	"blind put": {altered(func(b *broken, txn *driver.Txn) {
		time.Sleep(time.Millisecond) // others commit meanwhile
		for i, op := range txn.Ops {
			if e, ok := now(b, op.Key); ok && op.Kind == driver.OpPut {
				txn.Ops[i].Version = e.Version
			}
		}
	}), "C02-atomicity/nothing-lost-among-many C03-refusal/put-of-a-changed-key C12-versions/restore"},
	"put creates": {altered(func(b *broken, txn *driver.Txn) {
		for i, op := range txn.Ops {
			if _, ok := now(b, op.Key); !ok && op.Kind == driver.OpPut {
				txn.Ops[i] = driver.Create(op.Key, op.Value)
			}
		}
	}), "C03-refusal/put-of-an-absent-key"},
	"create overwrites": {altered(func(b *broken, txn *driver.Txn) {
		for i, op := range txn.Ops {
			if e, ok := now(b, op.Key); ok && op.Kind == driver.OpCreate && !op.Ephemeral {
				txn.Ops[i] = driver.Put(op.Key, op.Value, e.Version)
			}
		}
	}), "C03-refusal/create-of-a-key-that-is-there"},
	"delete is content with nothing": {altered(func(b *broken, txn *driver.Txn) {
		txn.Ops = slices.DeleteFunc(txn.Ops, func(op driver.Op) bool {
			_, ok := now(b, op.Key)
			return op.Kind == driver.OpDelete && !ok && !op.Version.IsZero()
		})
	}), "C03-refusal/delete-of-an-absent-key"},
	"delete whatever stands there": {altered(func(b *broken, txn *driver.Txn) {
		for i, op := range txn.Ops {
			if e, ok := now(b, op.Key); ok && op.Kind == driver.OpDelete && !op.Version.IsZero() {
				txn.Ops[i].Version = e.Version
			}
		}
	}), "C03-refusal/delete-of-a-changed-key"},
	"blind delete of nothing is refused": {answered(func(txn driver.Txn, r *driver.Result) {
		if len(txn.Ops) == 1 && txn.Ops[0].Kind == driver.OpDelete && txn.Ops[0].Version.IsZero() {
			r.Applied = false
		}
	}), "C03-refusal/blind-delete"},
	"generations ignored": {altered(func(b *broken, txn *driver.Txn) {
		generation := uint64(1)
		if all, err := b.Driver.Read(context.Background(), driver.Dir("bugs/of")); err == nil && len(all[0]) > 0 {
			generation = all[0][0].Version.Generation
		}
		for i, op := range txn.Ops {
			if !op.Version.IsZero() {
				txn.Ops[i].Version.Generation = generation
			}
		}
	}), "C12-versions/restore C12-versions/reconnect"},
	"put detaches from the lease": {committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		if len(txn.Ops) == 1 && txn.Ops[0].Kind == driver.OpPut {
			if e, ok := now(b, txn.Ops[0].Key); ok && e.Version == txn.Ops[0].Version {
				_, err := b.Driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Delete(e.Key, e.Version)}})
				if err != nil {
					return driver.Result{}, err
				}
				return b.Driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(e.Key, txn.Ops[0].Value)}})
			}
		}
		return b.Driver.Commit(ctx, txn)
	}), "C05-order/created C13-ownership/put-keeps-the-lease"},
	"a commit's lease owns all it creates": {altered(func(_ *broken, txn *driver.Txn) {
		for i, op := range txn.Ops {
			txn.Ops[i].Ephemeral = op.Kind == driver.OpCreate && txn.Lease != ""
		}
	}), "C13-ownership/put-gives-no-lease"},
	"ephemeral keys are persistent": {altered(func(_ *broken, txn *driver.Txn) {
		txn.Lease = ""
		for i := range txn.Ops {
			txn.Ops[i].Ephemeral = false
		}
	}), "C06-leases/granted C06-leases/kept-then-expires C06-leases/revoked-at-one-instant C07-dead-leases/expired C07-dead-leases/revoked C08-watches/expiry"},
	"lost lease is replaced": {committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		result, err := b.Driver.Commit(ctx, txn)
		if errors.Is(err, driver.ErrSessionLost) {
			if l, err := b.Driver.Grant(ctx, time.Hour); err == nil {
				txn.Lease = l.ID()
				return b.Driver.Commit(ctx, txn)
			}
		}
		return result, err
	}), "C07-dead-leases/expired C07-dead-leases/revoked"},
	"queued commit goes to a new session": {committing(func(b *broken, ctx context.Context, txn driver.Txn) (driver.Result, error) {
		result, err := b.Driver.Commit(ctx, txn)
		if err == nil || txn.Lease == "" || errors.Is(err, driver.ErrSessionLost) || ctx.Err() != nil {
			return result, err
		}
		for {
			if l, err := b.Driver.Grant(ctx, time.Hour); err == nil {
				txn.Lease = l.ID()
				_, _ = b.Driver.Commit(ctx, txn)
				return driver.Result{}, driver.ErrIndeterminate
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return driver.Result{}, driver.ErrIndeterminate
			}
		}
	}), "C07-dead-leases/queued-while-cut C07-dead-leases/queued-while-silent"},
}

var refusalBugs = map[string]bug{
	"Current is missing": {
		answered(func(_ driver.Txn, r *driver.Result) { r.Current = nil }),
		"C03-refusal/conditions-alone C03-refusal/put-of-a-changed-key C12-versions/reconnect",
	},
	"Current shows absent keys": {answered(func(txn driver.Txn, r *driver.Result) {
		for _, op := range txn.Ops {
			if _, ok := r.Current[op.Key]; !ok && r.Current != nil {
				r.Current[op.Key] = driver.Entry{Key: op.Key}
			}
		}
	}), "C03-refusal/condition-on-an-absent-key C03-refusal/delete-of-an-absent-key"},
	"versions of the operations that wrote": {answered(func(_ driver.Txn, r *driver.Result) {
		r.Versions = slices.DeleteFunc(r.Versions, driver.Version.IsZero)
	}), "C02-atomicity/key-moves-at-one-instant C03-refusal/versions-returned"},
	"versions backwards": {answered(func(_ driver.Txn, r *driver.Result) { slices.Reverse(r.Versions) }), "C03-refusal/versions-returned"},
	"put of equal bytes counts up": {answered(func(txn driver.Txn, r *driver.Result) {
		for i, op := range txn.Ops {
			if op.Kind == driver.OpPut && r.Applied && r.Versions[i] == op.Version {
				r.Versions[i].Number++
			}
		}
	}), "C11-equal-values/put-of-equal-bytes"},
	"put of equal bytes is refused": {answered(func(txn driver.Txn, r *driver.Result) {
		if len(txn.Ops) == 1 && txn.Ops[0].Kind == driver.OpPut && r.Applied && r.Versions[0] == txn.Ops[0].Version {
			r.Applied = false
		}
	}), "C11-equal-values/put-of-equal-bytes"},
}
