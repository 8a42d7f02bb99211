package etcd

import (
	"context"
	"fmt"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorate/quorate/backend/driver"
)

// Commit sends txn as one transaction, once. When its conditions do not hold
// the server reads the keys it names in the same step.
func (d *Driver) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if err := txn.Check(); err != nil {
		return driver.Result{}, err
	}
	request, id, err := transaction(txn)
	if err != nil {
		return driver.Result{}, err
	}
	ctx = requireLeader(ctx)
	if l := d.known(id); l != nil && l.isLost() {
		return driver.Result{}, fmt.Errorf("etcd commit: %w: lease %s is gone", driver.ErrSessionLost, txn.Lease)
	}
	start := d.history.now()
	if !txn.OfGeneration(start.generation) {
		// The store went back since. The numbers may stand for something else
		// by now, so they are not compared.
		return driver.Refused(ctx, txn, func(ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			s, err := d.read(ctx, targets)
			return s.entries, err
		}), nil
	}
	fate := maybeApplied
	if len(txn.Ops) == 0 {
		fate = asked // nothing to apply
	}
	reply := &pb.TxnResponse{}
	if err := d.servers.propose(ctx, start.term, txnMethod, request, reply); err != nil {
		err = d.classify(ctx, err, fate)
		d.loseOn(id, err)
		return driver.Result{}, fmt.Errorf("etcd commit: %w", err)
	}
	generation := d.history.note(start, reply.GetHeader())
	if !reply.GetSucceeded() {
		current := make(map[string]driver.Entry)
		for _, r := range reply.GetResponses() {
			for _, kv := range r.GetResponseRange().GetKvs() {
				current[string(kv.Key)] = entry(kv, generation)
			}
		}
		return driver.Result{Current: current}, nil
	}
	result := driver.Result{Applied: true, Versions: make([]driver.Version, len(txn.Ops))}
	for i, op := range txn.Ops {
		if op.Kind != driver.OpDelete {
			// Every key that a transaction writes gets its revision.
			result.Versions[i] = driver.Version{Generation: generation, Number: uint64(reply.GetHeader().GetRevision())}
		}
	}
	return result, nil
}

// transaction builds the request, and returns the lease it names.
func transaction(txn driver.Txn) (*pb.TxnRequest, int64, error) {
	var id int64
	if txn.Lease != "" {
		var err error
		if id, err = leaseID(txn.Lease); err != nil {
			return nil, 0, err
		}
	}
	request := &pb.TxnRequest{}
	for _, c := range txn.Unchanged {
		request.Compare = append(request.Compare, unchanged(c.Key, c.Version))
		request.Failure = append(request.Failure, rangeOp([]byte(c.Key), nil))
	}
	for _, op := range txn.Ops {
		key := []byte(op.Key)
		switch {
		case op.Kind == driver.OpCreate:
			request.Compare = append(request.Compare, &pb.Compare{
				Result: pb.Compare_EQUAL, Target: pb.Compare_CREATE, Key: key,
				TargetUnion: &pb.Compare_CreateRevision{CreateRevision: 0},
			})
		case !op.Version.IsZero():
			request.Compare = append(request.Compare, unchanged(op.Key, op.Version))
		}
		request.Success = append(request.Success, write(op, id))
		request.Failure = append(request.Failure, rangeOp(key, nil))
	}
	return request, id, nil
}

// unchanged requires that key is there at version. To etcd a key that is absent
// has the revision 0, so a version of that number, which no entry ever had, is
// turned into one that nothing has.
func unchanged(key string, version driver.Version) *pb.Compare {
	revision := int64(-1)
	if version.Number > 0 && version.Number <= math.MaxInt64 {
		revision = int64(version.Number)
	}
	return &pb.Compare{
		Result: pb.Compare_EQUAL, Target: pb.Compare_MOD, Key: []byte(key),
		TargetUnion: &pb.Compare_ModRevision{ModRevision: revision},
	}
}

func write(op driver.Op, lease int64) *pb.RequestOp {
	key := []byte(op.Key)
	if op.Kind == driver.OpDelete {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &pb.DeleteRangeRequest{Key: key},
		}}
	}
	put := &pb.PutRequest{Key: key, Value: op.Value}
	switch {
	case op.Kind == driver.OpPut:
		// A put that names no lease would detach the key from the one it has.
		put.IgnoreLease = true
	case op.Ephemeral:
		put.Lease = lease
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
}
