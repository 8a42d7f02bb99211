package etcd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorate/quorate/backend/driver"
)

// Watch reads the target, watches on from the revision of that read, and keeps
// the state up to date from the events alone. Whatever could make it miss one
// ends it with an error, so that its caller starts it again with a fresh read:
// a connection or a leader lost, a stream that fell silent, history compacted
// away, a store that went back.
func (d *Driver) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if err := driver.CheckTargets(target); err != nil {
		return err
	}
	if err := d.watch(ctx, target, changed); err != nil {
		return fmt.Errorf("etcd watch: %w", err)
	}
	return nil
}

// firstRead bounds the read that a watch begins with, and one that it waits for
// later: no caller does.
const firstRead = 5 * time.Second

// first reads what a watch waits for. It asks a second and a third server in
// time when the first is silent.
func (d *Driver) first(ctx context.Context, target driver.Target) (snapshot, error) {
	reading, cancel := context.WithTimeout(requireLeader(ctx), firstRead)
	defer cancel()
	s, err := hedged(reading, func(ctx context.Context) (snapshot, error) {
		return d.query(ctx, []driver.Target{target})
	})
	if err != nil {
		return snapshot{}, fmt.Errorf("etcd read: %w", d.classify(ctx, err, asked))
	}
	return s, nil
}

func (d *Driver) watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	s, err := d.first(ctx, target)
	if err != nil {
		return err
	}
	generation, wentBack := d.Generation()
	if generation != s.generation {
		return errWentBack()
	}
	w := view{target: target, generation: s.generation, revision: s.revision, entries: s.entries[0]}
	changed(driver.CloneEntries(w.entries))
	sub, err := d.subscribe(target, s.revision+1)
	if err != nil {
		return err
	}
	defer func() { sub.close() }()
	for created := false; ; {
		select {
		case <-ctx.Done():
			return d.classify(ctx, ctx.Err(), asked)
		case <-wentBack:
			return errWentBack()
		case <-sub.news:
		}
		replies, err := sub.take()
		dirty := false
		for _, reply := range replies {
			created = true
			if reply.GetHeader().GetRevision() < s.revision {
				// A member that lags behind the read, or a store that went
				// back to before it and from which no event would come until
				// it has caught up. A linearizable read tells them apart.
				if err := d.checkHistory(ctx, target); err != nil {
					return err
				}
			}
			dirty = w.apply(reply.GetEvents()) || dirty
		}
		if dirty {
			changed(driver.CloneEntries(w.entries))
		}
		switch {
		case err == nil:
		case isStale(err) && !created:
			// The token with which the stream was opened has expired. A new
			// stream has a new one.
			sub.close()
			again, err := d.subscribe(target, s.revision+1)
			if err != nil {
				return err
			}
			sub, created = again, true
		default:
			return d.classify(ctx, err, asked)
		}
	}
}

func errWentBack() error {
	return fmt.Errorf("%w: the store went back in time (restored or replaced)", driver.ErrUnavailable)
}

// checkHistory reads, so that history sees a present header.
func (d *Driver) checkHistory(ctx context.Context, target driver.Target) error {
	start := d.history.now()
	s, err := d.first(ctx, driver.Key(target.Path))
	if err == nil && s.generation != start.generation {
		err = errWentBack()
	}
	return err
}

func (d *Driver) subscribe(target driver.Target, revision int64) (*subscription, error) {
	key, end := bounds(target)
	return d.watches.subscribe(&pb.WatchCreateRequest{Key: key, RangeEnd: end, StartRevision: revision})
}

// view is the state of a target as its events have made it.
type view struct {
	target     driver.Target
	generation uint64
	revision   int64          // what is older is in entries already
	entries    []driver.Entry // sorted by key
}

// apply applies events and reports whether they changed anything.
func (v *view) apply(events []*mvccpb.Event) (changed bool) {
	for _, event := range events {
		key := string(event.Kv.Key)
		if !v.target.Covers(key) || event.Kv.ModRevision <= v.revision {
			continue
		}
		changed = true
		at, there := slices.BinarySearchFunc(v.entries, key, func(e driver.Entry, key string) int { return strings.Compare(e.Key, key) })
		switch {
		case event.Type == mvccpb.DELETE && there:
			v.entries = slices.Delete(v.entries, at, at+1)
		case event.Type == mvccpb.DELETE:
		case there:
			v.entries[at] = entry(event.Kv, v.generation)
		default:
			v.entries = slices.Insert(v.entries, at, entry(event.Kv, v.generation))
		}
	}
	return changed
}
