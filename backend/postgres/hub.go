package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

const (
	// readTimeout bounds a read that watches wait for: no caller does.
	readTimeout = 5 * time.Second
	// retryRead is the mean pause before a read that failed is made again.
	retryRead = 150 * time.Millisecond
	// recheck is how often the revision is compared although notifications
	// come: one may have been missed.
	recheck = 5 * time.Second
	// deaf is how often while no connection listens.
	deaf = 500 * time.Millisecond
	// maxPause bounds the pause after a read that took long.
	maxPause = 50 * time.Millisecond
	// minWait is the least time from one look for expired leases to the next.
	minWait = 20 * time.Millisecond
)

// hub serves all watches of a driver. It reads, in one statement, the targets
// that a notification names. At intervals, and when a lease is due to expire,
// it compares the store's revision, and reads all targets if it moved. All
// reads are made one after the other, so states reach a watch in their order.
type hub struct {
	driver *Driver
	ctx    context.Context
	stop   context.CancelFunc
	wake   chan struct{} // holds one token when there is something to do

	mu          sync.Mutex // guards what follows, and the subscribers
	subscribers map[driver.Target]map[*subscriber]struct{}
	count       int
	listening   bool
}

func newHub(d *Driver) *hub {
	h := &hub{driver: d, wake: make(chan struct{}, 1), subscribers: make(map[driver.Target]map[*subscriber]struct{})}
	h.ctx, h.stop = context.WithCancel(d.life)
	return h
}

func (h *hub) add(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscribers[s.target] == nil {
		h.subscribers[s.target] = make(map[*subscriber]struct{})
	}
	h.subscribers[s.target][s] = struct{}{}
	h.count++
	h.rouse()
}

// remove returns how many watches are left.
func (h *hub) remove(s *subscriber) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers[s.target], s)
	if len(h.subscribers[s.target]) == 0 {
		delete(h.subscribers, s.target)
	}
	h.count--
	return h.count
}

func (h *hub) take(s *subscriber) ([]driver.Entry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return s.state, s.err
}

func (h *hub) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// ring marks the watches of the keys that a notification names, all of them if
// it names none.
func (h *hub) ring(payload string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if payload == "" {
		h.markAll()
		return
	}
	for key := range strings.SplitSeq(payload, "\n") {
		h.markOne(driver.Key(key))
		if i := strings.LastIndexByte(key, '/'); i > 0 {
			h.markOne(driver.Dir(key[:i]))
		}
	}
}

func (h *hub) markAll() {
	for target := range h.subscribers {
		h.markOne(target)
	}
}

func (h *hub) markOne(target driver.Target) {
	for s := range h.subscribers[target] {
		s.dirty = true
		h.rouse()
	}
}

// heard notes whether a connection listens. What changed before it did was not
// heard of.
func (h *hub) heard(listening bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listening = listening
	h.markAll()
}

// run serves until the hub is stopped.
func (h *hub) run() {
	seen := mark{revision: never} // at which all watches had been read
	next := time.Now()            // when to look whether anything moved
	var failing time.Time         // since when reads fail; zero if they do not
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		begun := time.Now()
		look := !begun.Before(next)
		wait, err := h.serve(&seen, look)
		switch {
		case err == nil:
			failing = time.Time{}
		case h.worthAnother(err, begun, &failing):
			wait = retryRead/2 + rand.N(retryRead)
		default:
			h.fail(err)
		}
		if at := time.Now().Add(wait); look || at.Before(next) {
			next = at
		}
		timer.Reset(min(time.Since(begun), maxPause))
		select {
		case <-h.ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(time.Until(next))
		select {
		case <-h.ctx.Done():
			return
		case <-h.wake:
		case <-timer.C:
		}
	}
}

// worthAnother reports whether a read that failed is to be made again soon. While
// a server restarts, reads fail at once; watches that ended with each of them
// would come back later and later.
func (h *hub) worthAnother(err error, begun time.Time, failing *time.Time) bool {
	if failing.IsZero() {
		*failing = begun
	}
	if !errors.Is(err, driver.ErrUnavailable) || time.Since(*failing) > readTimeout {
		*failing = time.Time{}
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, subscribers := range h.subscribers {
		for s := range subscribers {
			s.dirty = true // due has taken that back
		}
	}
	return true
}

// serve reads for the watches that are marked, or looks whether anything moved
// since seen and then reads for all. It returns how soon to look next.
func (h *hub) serve(seen *mark, look bool) (time.Duration, error) {
	targets, marked, all := h.due(look)
	wait := h.interval()
	if len(targets) == 0 {
		return wait, nil
	}
	compare := mark{revision: never}
	if !marked && seen.generation == h.driver.history.now().generation {
		compare = *seen
	}
	ctx, cancel := context.WithTimeout(h.ctx, readTimeout)
	defer cancel()
	s, err := h.driver.read(ctx, targets, compare)
	if err != nil {
		*seen = mark{revision: never}
		return wait, err
	}
	if s.nextExpiry > 0 {
		// Not all processes at once.
		wait = min(wait, max(s.nextExpiry, minWait)+rand.N(minWait))
	}
	if s.unchanged {
		return wait, nil
	}
	h.deliver(targets, s.entries)
	if all {
		*seen = s.mark
	}
	if present := h.driver.history.now().generation; s.generation != present || seen.generation != present {
		// Versions that watches were given are of no use any more.
		h.mu.Lock()
		defer h.mu.Unlock()
		h.markAll()
	}
	return wait, nil
}

// due returns the targets to be read, whether any was marked, and whether they
// are all there are. Their watches are no longer marked: a notification that
// comes from now on marks them again.
func (h *hub) due(look bool) (targets []driver.Target, marked, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for target, subscribers := range h.subscribers {
		dirty := false
		for s := range subscribers {
			dirty = dirty || s.dirty
			s.dirty = false
			s.awaited = true
		}
		if dirty || look {
			targets = append(targets, target)
		}
		marked = marked || dirty
	}
	return targets, marked, len(targets) == len(h.subscribers)
}

func (h *hub) deliver(targets []driver.Target, entries [][]driver.Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, target := range targets {
		for s := range h.subscribers[target] {
			if s.awaited {
				s.tell(entries[i], nil)
			}
		}
	}
}

// fail ends all watches.
func (h *hub) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, subscribers := range h.subscribers {
		for s := range subscribers {
			s.tell(nil, err)
		}
	}
}

// interval is how long the hub waits for a notification before it looks itself.
func (h *hub) interval() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.driver.opts.Poll > 0:
		return h.driver.opts.Poll
	case !h.listening:
		return deaf
	default:
		return recheck
	}
}
