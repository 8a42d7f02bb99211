package consul

import (
	"context"
	"errors"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

// chunk is how many targets one transaction reads.
const chunk = 64

// readTogether reads many targets with few transactions, linearizably. Unlike
// read it does not notice what is left out for lack of permission.
func (d *Driver) readTogether(ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
	all := make([][]driver.Entry, 0, len(targets))
	for len(targets) > 0 {
		n := min(len(targets), chunk)
		m := d.indexes.mark()
		var ops api.TxnOps
		for _, t := range targets[:n] {
			// get-tree, not get: that fails on a key that is absent, and
			// get-or-empty is not known to servers before 1.14.
			prefix := t.Path
			if t.Dir {
				prefix += "/"
			}
			ops = append(ops, &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVGetTree, Key: prefix}})
		}
		reply, err := d.check(ctx, ops)
		if err != nil {
			return nil, err
		}
		pairs := make(map[string]*api.KVPair, len(reply.Results))
		for _, r := range reply.Results {
			if r.KV != nil {
				pairs[r.KV.Key] = r.KV
			}
		}
		for _, t := range targets[:n] {
			all = append(all, d.entries(m, t, pick(t, pairs)))
		}
		targets = targets[n:]
	}
	return all, nil
}

// pick returns the pairs that belong to t.
func pick(t driver.Target, pairs map[string]*api.KVPair) api.KVPairs {
	if !t.Dir {
		if p := pairs[t.Path]; p != nil {
			return api.KVPairs{p}
		}
		return nil
	}
	var picked api.KVPairs
	for _, p := range pairs {
		if t.Covers(p.Key) {
			picked = append(picked, p)
		}
	}
	return picked
}

// withStatus gives back to an error of Client.Txn the status that the client
// left out, so far as the words tell it.
func withStatus(err error) error {
	var status api.StatusError
	body, ok := strings.CutPrefix(err.Error(), "Failed request: ")
	if !ok || errors.As(err, &status) {
		return err
	}
	status = api.StatusError{Code: 500, Body: body}
	if strings.Contains(body, "too large") || strings.Contains(body, "too many operations") {
		status.Code = 413
	}
	return status
}

// conflict puts failed conditions in words.
func conflict(failed api.TxnErrors) error {
	words := make([]string, len(failed))
	for i, f := range failed {
		words[i] = f.What
	}
	return api.StatusError{Code: 409, Body: strings.Join(words, "; ")}
}
