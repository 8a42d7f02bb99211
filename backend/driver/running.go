package driver

import (
	"context"
	"fmt"
	"sync"
)

// Running counts what has to end before Close returns. A driver counts its own
// goroutines, as a backend.Store counts its calls. The zero Running is ready
// for use.
type Running struct {
	mu     sync.Mutex // guards the fields below
	count  int
	closed bool
	idle   chan struct{} // closed once closed is set and count is zero
}

// Enter counts one more, unless Close has begun: then it reports false. Every
// Enter that reports true needs a Leave.
func (r *Running) Enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.count++
	return true
}

// Leave takes back an Enter.
func (r *Running) Leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count--
	r.settle()
}

// Go runs f on a goroutine of its own, unless Close has begun: then it reports
// false.
func (r *Running) Go(f func()) bool {
	if !r.Enter() {
		return false
	}
	go func() {
		defer r.Leave()
		f()
	}()
	return true
}

// GoOn runs f on a goroutine of its own. Unlike Go it does so after Close has
// begun, too. Its caller must be counted while it calls, so that Close cannot
// have returned.
func (r *Running) GoOn(f func()) {
	r.mu.Lock()
	r.count++
	r.mu.Unlock()
	go func() {
		defer r.Leave()
		f()
	}()
}

// Close lets nothing else begin, and waits until all that runs has ended or
// ctx ends.
func (r *Running) Close(ctx context.Context) error {
	r.mu.Lock()
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	r.closed = true
	r.settle()
	idle := r.idle
	r.mu.Unlock()
	select {
	case <-idle:
		return nil
	default:
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Errorf("%d still running: %w", r.count, context.Cause(ctx))
	}
}

// settle closes idle when nothing is left. The lock is held.
func (r *Running) settle() {
	if !r.closed || r.count > 0 {
		return
	}
	select {
	case <-r.idle:
	default:
		close(r.idle)
	}
}
