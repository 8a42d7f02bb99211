package trust

import (
	"sync"
	"sync/atomic"
	"time"
)

// Window is a span of trust that ends at a deadline unless it is extended in
// time. Once it has closed it never opens again.
type Window struct {
	deadline atomic.Pointer[Instant]
	closed   atomic.Bool

	mu    sync.Mutex // orders Extend, Close and the timer
	timer *time.Timer
	every time.Duration
	ended func()
}

// NewWindow opens a window until deadline. When that passes on either clock
// the window closes by itself and calls ended; the clocks are compared every
// so often, since a timer follows the monotonic one only.
func NewWindow(deadline Instant, every time.Duration, ended func()) *Window {
	w := &Window{every: every, ended: ended}
	w.deadline.Store(&deadline)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.next(), w.check)
	return w
}

// Open reports whether the window is open at this instant. It compares clocks:
// it is right even if this process was paused and no timer has fired yet.
func (w *Window) Open() bool { return w.Left() > 0 }

// Left returns how long the window stays open without being extended; zero or
// less when it is closed.
func (w *Window) Left() time.Duration {
	if w.closed.Load() {
		return 0
	}
	return w.deadline.Load().Until(Now())
}

// Deadline returns the instant at which the window closes, or has closed.
func (w *Window) Deadline() Instant { return *w.deadline.Load() }

// Extend moves the deadline, on the strength of something that began at start,
// unless the new one is earlier. It reports false, and does nothing, if the
// window had closed by start or has closed since: what began outside the
// window says nothing about the time between.
func (w *Window) Extend(start, deadline Instant) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.deadline.Load()
	if w.closed.Load() || old.Passed(start) || old.Passed(Now()) {
		return false
	}
	if deadline.Sub(*old) > 0 {
		w.deadline.Store(&deadline)
	}
	return true
}

// Close closes the window without calling ended.
func (w *Window) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed.Store(true)
	w.timer.Stop()
}

func (w *Window) next() time.Duration {
	return min(w.every, max(w.deadline.Load().Until(Now()), 0))
}

func (w *Window) check() {
	if w.closeIfPassed() {
		w.ended()
	}
}

func (w *Window) closeIfPassed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.Load() {
		return false
	}
	if !w.deadline.Load().Passed(Now()) {
		w.timer.Reset(w.next())
		return false
	}
	w.closed.Store(true)
	return true
}
