package zookeeper

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

const (
	// maxEphemeralBytes bounds the paths of a session's ephemeral nodes
	// together. The transaction that ends a session names them all; where it
	// exceeds the servers' limit (jute.maxbuffer, 1 MiB by default, plus as
	// much again since 3.5.6) the ensemble cannot read it, and loses its
	// quorum for good.
	maxEphemeralBytes = 512 << 10
	// recountAfter is the least time between two counts at the servers.
	recountAfter = 10 * time.Second
)

// ephemerals are the paths that a session's commits have created, as far as is
// known: those in doubt are among them, and those that others have deleted.
type ephemerals struct {
	mu      sync.Mutex
	size    int
	paths   map[string]bool // whether a commit that creates it is under way
	counted time.Time       // when the servers were asked
}

// ephemeralBytes is what a path adds to the transaction that ends its session.
func ephemeralBytes(path string) int { return 4 + len(path) }

// created are the paths of the ephemeral nodes that txn creates.
func created(txn driver.Txn) []string {
	var paths []string
	for _, op := range txn.Ops {
		if op.Kind == driver.OpCreate && op.Ephemeral {
			paths = append(paths, nodePath(op.Key))
		}
	}
	return paths
}

// add adds paths, unless they would be too many. It returns those that were
// not there.
func (e *ephemerals) add(paths []string) (added []string, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paths == nil {
		e.paths = make(map[string]bool)
	}
	size := e.size
	for _, path := range paths {
		if _, known := e.paths[path]; !known {
			added = append(added, path)
			size += ephemeralBytes(path)
		}
	}
	if size > maxEphemeralBytes {
		return nil, false
	}
	e.size = size
	for _, path := range paths {
		e.paths[path] = true
	}
	return added, true
}

// settle notes that the commit that creates paths is over. Those that it added
// are gone if it surely was not applied.
func (e *ephemerals) settle(paths, added []string, applied bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, path := range paths {
		if _, known := e.paths[path]; known {
			e.paths[path] = false
		}
	}
	if !applied {
		e.remove(added)
	}
}

// deleted notes that paths were deleted.
func (e *ephemerals) deleted(paths []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.remove(paths)
}

// remove is called with the lock held.
func (e *ephemerals) remove(paths []string) {
	for _, path := range paths {
		if _, known := e.paths[path]; known {
			delete(e.paths, path)
			e.size -= ephemeralBytes(path)
		}
	}
}

// settled are the paths with no commit under way, if it is time to ask the
// servers for them.
func (e *ephemerals) settled() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); !e.counted.IsZero() && now.Sub(e.counted) < recountAfter {
		return nil
	} else {
		e.counted = now
	}
	var paths []string
	for path, underWay := range e.paths {
		if !underWay {
			paths = append(paths, path)
		}
	}
	return paths
}

// reserve counts what a commit creates under the lease, and refuses what would
// be too much. Before it does it asks the servers which of the paths are there:
// others may have deleted some.
func (l *lease) reserve(ctx context.Context, paths []string) (added []string, _ error) {
	added, ok := l.ephemerals.add(paths)
	if !ok {
		if err := l.recount(ctx); err != nil {
			return nil, err
		}
		added, ok = l.ephemerals.add(paths)
	}
	if !ok {
		return nil, fmt.Errorf("%w: session %s has ephemeral keys whose paths come to %d bytes, and no more are allowed: "+
			"ZooKeeper cannot end a session with too many; use another Store for some of them", driver.ErrTooLarge, l.id, maxEphemeralBytes)
	}
	return added, nil
}

// recount asks the servers which paths are there.
func (l *lease) recount(ctx context.Context) error {
	paths := l.ephemerals.settled()
	if len(paths) == 0 {
		return nil
	}
	c, err := l.d.common.up(ctx)
	if err != nil {
		return err
	}
	requests := []request{c.quorum()}
	for _, path := range paths {
		requests = append(requests, pathRequest(opExists, path, false))
	}
	replies, err := c.exchangeAll(ctx, requests)
	if err == nil {
		err = agreed(&replies[0])
	}
	if err != nil {
		return classify(err, false)
	}
	var gone []string
	for i, path := range paths {
		stat, err := replies[1+i].exists()
		if err != nil {
			return classify(err, false)
		}
		if stat == nil || leaseID(stat.EphemeralOwner) != l.id {
			gone = append(gone, path)
		}
	}
	l.ephemerals.deleted(gone)
	return nil
}
