package etcd

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/backend/driver"
)

// maxRanges bounds the ranges in one transaction: a server accepts 128 by
// default.
const maxRanges = 100

// Read reads the targets in one transaction, so they are of one instant; with
// more than a hundred of them it takes one after the other.
func (d *Driver) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	if err := driver.CheckTargets(targets...); err != nil {
		return nil, err
	}
	ctx = requireLeader(ctx)
	read := make([][]driver.Entry, 0, len(targets))
	for chunk := range slices.Chunk(targets, maxRanges) {
		snapshot, err := d.read(ctx, chunk)
		if err != nil {
			return nil, err
		}
		read = append(read, snapshot.entries...)
	}
	return read, nil
}

// snapshot is what targets were at one revision.
type snapshot struct {
	entries    [][]driver.Entry
	revision   int64
	generation uint64
}

// read asks a second and a third server in time when the first is silent.
func (d *Driver) read(ctx context.Context, targets []driver.Target) (snapshot, error) {
	s, err := hedged(ctx, func(ctx context.Context) (snapshot, error) { return d.query(ctx, targets) })
	if err != nil {
		return snapshot{}, fmt.Errorf("etcd read: %w", d.classify(ctx, err, asked))
	}
	return s, nil
}

// query reads, and leaves its error as the client returned it: for hedged.
func (d *Driver) query(ctx context.Context, targets []driver.Target) (snapshot, error) {
	txn := &pb.TxnRequest{}
	for _, t := range targets {
		key, end := bounds(t)
		txn.Success = append(txn.Success, rangeOp(key, end))
	}
	start := d.history.now()
	reply := &pb.TxnResponse{}
	if err := d.servers.ask(ctx, txnMethod, txn, reply); err != nil {
		return snapshot{}, err
	}
	s := snapshot{
		entries:    make([][]driver.Entry, len(targets)),
		revision:   reply.GetHeader().GetRevision(),
		generation: d.history.note(start, reply.GetHeader()),
	}
	for i, t := range targets {
		s.entries[i] = []driver.Entry{}
		for _, kv := range reply.GetResponses()[i].GetResponseRange().GetKvs() {
			if t.Covers(string(kv.Key)) {
				s.entries[i] = append(s.entries[i], entry(kv, s.generation))
			}
		}
	}
	return s, nil
}

// bounds returns the range of keys that holds the target. For a directory it
// also holds what lies deeper, which etcd cannot leave out.
func bounds(t driver.Target) (key, end []byte) {
	if !t.Dir {
		return []byte(t.Path), nil
	}
	prefix := t.Path + "/"
	return []byte(prefix), []byte(clientv3.GetPrefixRangeEnd(prefix))
}

func rangeOp(key, end []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{
		RequestRange: &pb.RangeRequest{Key: key, RangeEnd: end},
	}}
}

func entry(kv *mvccpb.KeyValue, generation uint64) driver.Entry {
	e := driver.Entry{
		Key:      string(kv.Key),
		Value:    kv.Value,
		Created:  uint64(kv.CreateRevision),
		Modified: uint64(kv.ModRevision),
		Version:  driver.Version{Generation: generation, Number: uint64(kv.ModRevision)},
	}
	if kv.Lease != 0 {
		e.Lease = leaseName(kv.Lease)
	}
	return e
}

// leaseName is how etcdctl prints a lease.
func leaseName(id int64) string { return strconv.FormatInt(id, 16) }

func leaseID(name string) (int64, error) {
	id, err := strconv.ParseInt(name, 16, 64)
	if err != nil || id <= 0 || leaseName(id) != name {
		return 0, fmt.Errorf("%w: %q is no lease of etcd's", driver.ErrInvalid, name)
	}
	return id, nil
}
