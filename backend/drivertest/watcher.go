package drivertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// watcher watches for as long as the test runs, and starts a watch that failed
// again, as the Store does.
type watcher struct {
	s      *suite
	target driver.Target
	stop   func() // ends the watch, and waits for it

	mu     sync.Mutex
	states [][]driver.Entry
	moved  chan struct{} // closed, and replaced, with each state
	err    error         // why the last watch that failed did
}

func (s *suite) watch(d driver.Driver, target driver.Target) *watcher {
	w := &watcher{s: s, target: target, moved: make(chan struct{})}
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			w.once(ctx, d)
			if !pause(ctx, pace) {
				return
			}
		}
	}()
	w.stop = func() {
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			s.Errorf("Watch did not return within %v after its context ended", patience)
		}
	}
	s.Cleanup(w.stop)
	return w
}

// once runs one watch to its end.
func (w *watcher) once(ctx context.Context, d driver.Driver) {
	var busy, over atomic.Bool
	err := d.Watch(ctx, w.target, func(entries []driver.Entry) {
		if over.Load() {
			w.s.Errorf("changed was called after Watch had returned")
			return
		}
		if !busy.CompareAndSwap(false, true) {
			w.s.Errorf("changed was called twice at a time")
			return
		}
		defer busy.Store(false)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.states = append(w.states, own(entries))
		close(w.moved)
		w.moved = make(chan struct{})
	})
	over.Store(true)
	if err == nil {
		w.s.Errorf("Watch returned nil, want the reason of its end")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// await waits until the newest state is as wanted.
func (w *watcher) await(what string, ok func([]driver.Entry) bool) {
	w.s.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		w.mu.Lock()
		moved, n, err := w.moved, len(w.states), w.err
		var last []driver.Entry
		if n > 0 {
			last = w.states[n-1]
		}
		w.mu.Unlock()
		if n > 0 && ok(last) {
			return
		}
		select {
		case <-moved:
		case <-timeout.C:
			w.s.Fatalf("watch of %q: after %v and %d states the last is %v, want %s; last failure: %v",
				w.target.Path, patience, n, last, what, err)
		}
	}
}

// awaitKeys waits until the newest state consists of these keys.
func (w *watcher) awaitKeys(want ...string) {
	w.s.Helper()
	slices.Sort(want)
	w.await(fmt.Sprintf("exactly these keys: %q", want), func(entries []driver.Entry) bool { return slices.Equal(keys(entries), want) })
}

// awaitValue waits until the newest state is one key with this value.
func (w *watcher) awaitValue(want string) {
	w.s.Helper()
	w.await("one key with the value "+want, func(entries []driver.Entry) bool {
		return len(entries) == 1 && string(entries[0].Value) == want
	})
}

// seen returns all states so far.
func (w *watcher) seen() [][]driver.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.states)
}
