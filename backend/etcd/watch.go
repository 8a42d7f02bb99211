package etcd

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorate/quorate/backend/driver"
)

// Watch reads the target, watches from the revision of that read, and keeps the
// state up to date from the events alone.
//
// When its stream ends (a connection or a leader lost, a silent stream) it
// continues once, on another stream, from the revision that it has seen. That
// costs no read at the moment when all processes return together. It reads a
// few seconds later, at a time of its own. The store may have been restored in
// between, and have passed that revision since.
//
// Watch returns an error if it may have missed an event for another reason, so
// that its caller begins again with a fresh read. Reasons are a second stream
// that fails at once, history that was compacted away, and a store that went
// back.
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

// readAfter: a watch that went on after its stream failed reads so much later,
// and up to as much again, so that processes that come back together do not
// read together.
const readAfter = 2 * time.Second

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
	w := view{target: target, generation: s.generation, revision: s.revision, seen: s.revision, entries: s.entries[0]}
	changed(driver.CloneEntries(w.entries))
	sub, err := d.subscribe(target, s.revision+1)
	if err != nil {
		return err
	}
	defer func() { sub.close() }()
	var resumed <-chan time.Time // when to read after the watch went on
	for created := false; ; {
		select {
		case <-ctx.Done():
			return d.classify(ctx, ctx.Err(), asked)
		case <-wentBack:
			return errWentBack()
		case <-resumed:
			resumed = nil
			s, err := d.first(ctx, target)
			switch {
			case err != nil:
				return err
			case s.generation != w.generation:
				return errWentBack()
			case w.adopt(s):
				changed(driver.CloneEntries(w.entries))
			}
			continue
		case <-sub.news:
		}
		replies, cut, err := sub.take()
		dirty := false
		for _, reply := range replies {
			created = true
			if reply.GetHeader().GetRevision() < w.revision {
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
			again, err := d.subscribe(target, w.revision+1)
			if err != nil {
				return err
			}
			sub, created = again, true
		case cut && created:
			sub.close()
			w.revision = w.seen
			again, err := d.subscribe(target, w.revision+1)
			if err != nil {
				return err
			}
			sub, created = again, false
			resumed = time.After(readAfter + rand.N(readAfter))
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
	seen       int64          // the highest revision that has been applied
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
		v.seen = max(v.seen, event.Kv.ModRevision)
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

// adopt takes over a read, and reports whether it differs. Events from before it
// may still come.
func (v *view) adopt(s snapshot) (changed bool) {
	changed = !slices.EqualFunc(v.entries, s.entries[0], func(a, b driver.Entry) bool {
		return a.Key == b.Key && a.Version == b.Version && a.Lease == b.Lease && bytes.Equal(a.Value, b.Value)
	})
	v.entries, v.revision, v.seen = s.entries[0], s.revision, s.revision
	return changed
}
