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

// ephemerals are the paths that a session's commits have created. They include
// creations in doubt, and nodes that others have deleted since.
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

// add adds paths, unless that would be too many. It returns those that are new.
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

// settle ends a commit that creates paths. It removes the added paths if the
// commit surely was not applied.
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

// deleted removes paths that were deleted.
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

// settled returns the paths without a commit under way, if it is time to check
// them at the servers.
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

// reserve counts the paths that a commit creates under the lease. If they are too
// many it first asks the servers which paths still exist, as others may have
// deleted some. Then it refuses the commit.
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

// recount removes the paths that no longer exist at the servers.
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
