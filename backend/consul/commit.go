package consul

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

// Commit sends one transaction, once. Neither the api client nor net/http
// repeats a PUT that may have reached the server: net/http does so only when
// nothing at all was written on a reused connection.
func (d *Driver) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if err := txn.Check(); err != nil {
		return driver.Result{}, err
	}
	if err := driver.NotSent(ctx); err != nil {
		return driver.Result{}, err
	}
	ctx = driver.InTurn(ctx)
	m := d.indexes.mark()
	if !txn.OfGeneration(m.generation) {
		return driver.Refused(ctx, txn, d.readTogether), nil
	}
	var reply *api.TxnResponse
	var err error
	ops := operations(txn)
	if len(txn.Ops) == 0 {
		reply, err = d.check(ctx, ops)
	} else {
		reply, err = d.apply(ctx, ops)
	}
	switch {
	case errors.Is(err, errRefused):
		return driver.Refused(ctx, txn, d.readTogether), nil
	case errors.Is(err, driver.ErrSessionLost):
		if l := d.forget(txn.Lease); l != nil {
			l.lose()
		}
	}
	if err != nil {
		return driver.Result{}, driver.Ended(ctx, err)
	}
	return d.applied(m, txn, reply)
}

// operations spells txn in Consul's words, at most two operations for each of
// ours: 64 of them make the 128 that a transaction may have.
func operations(txn driver.Txn) api.TxnOps {
	var ops api.TxnOps
	add := func(verb api.KVOp, key string, with api.KVTxnOp) {
		with.Verb, with.Key = verb, key
		ops = append(ops, &api.TxnOp{KV: &with})
	}
	for _, c := range txn.Unchanged {
		add(api.KVCheckIndex, c.Key, api.KVTxnOp{Index: c.Version.Number})
	}
	for _, op := range txn.Ops {
		switch {
		case op.Kind == driver.OpCreate && op.Ephemeral:
			// A lock alone would do on a key that is there and free. It writes
			// the value and the session in one.
			add(api.KVCheckNotExists, op.Key, api.KVTxnOp{})
			add(api.KVLock, op.Key, api.KVTxnOp{Value: op.Value, Session: txn.Lease})
		case op.Kind == driver.OpCreate:
			add(api.KVCAS, op.Key, api.KVTxnOp{Value: op.Value}) // index 0: absent
		case op.Kind == driver.OpPut:
			if op.Version.Number == 0 {
				// To cas it means "absent"; no key has it.
				add(api.KVCheckIndex, op.Key, api.KVTxnOp{})
			}
			add(api.KVCAS, op.Key, api.KVTxnOp{Value: op.Value, Index: op.Version.Number})
		case op.Version.IsZero():
			add(api.KVDelete, op.Key, api.KVTxnOp{})
		default:
			// delete-cas is content to find nothing.
			add(api.KVCheckIndex, op.Key, api.KVTxnOp{Index: op.Version.Number})
			add(api.KVDelete, op.Key, api.KVTxnOp{})
		}
	}
	return ops
}

// apply sends a transaction that writes.
func (d *Driver) apply(ctx context.Context, ops api.TxnOps) (*api.TxnResponse, error) {
	var reply api.TxnResponse
	// Client.Txn would do the same, but leaves the status out of its error.
	r, err := d.short(ctx, func(ctx context.Context) error {
		_, err := d.client.Raw().Write("/v1/txn", ops, &reply, writing(ctx))
		return err
	})
	if err != nil {
		return nil, classify(err, true, r.unsent())
	}
	return &reply, nil
}

func writing(ctx context.Context) *api.WriteOptions {
	return new(api.WriteOptions).WithContext(ctx)
}

// check sends a transaction of conditions alone. Consul answers it without the
// log, so that only mode "consistent" makes it linearizable.
func (d *Driver) check(ctx context.Context, ops api.TxnOps) (*api.TxnResponse, error) {
	var ok bool
	var reply *api.TxnResponse
	_, err := d.short(ctx, func(ctx context.Context) (err error) {
		ok, reply, _, err = d.client.Txn().Txn(ops, consistent(ctx))
		return err
	})
	switch {
	case err != nil:
		// The client keeps the status to itself here; nothing was applied.
		return nil, classify(withStatus(err), false, false)
	case !ok:
		err := ofTxnErrors(reply.Errors)
		if errors.Is(err, errRefused) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", err, conflict(reply.Errors))
	}
	return reply, nil
}

// applied is the result of a commit that was.
func (d *Driver) applied(m mark, txn driver.Txn, reply *api.TxnResponse) (driver.Result, error) {
	written := make(map[string]uint64, len(txn.Ops))
	for _, r := range reply.Results {
		if r.KV != nil {
			written[r.KV.Key] = r.KV.ModifyIndex
		}
	}
	result := driver.Result{Applied: true, Versions: make([]driver.Version, len(txn.Ops))}
	for i, op := range txn.Ops {
		if op.Kind == driver.OpDelete {
			continue
		}
		index := written[op.Key]
		if index == 0 {
			return driver.Result{}, fmt.Errorf("%w: it was applied, but the reply says nothing of %q", driver.ErrIndeterminate, op.Key)
		}
		d.indexes.saw(m, index)
		result.Versions[i] = driver.Version{Generation: m.generation, Number: index}
	}
	return result, nil
}
