package memory

import (
	"context"
	"fmt"

	"github.com/quorate/quorate/backend/driver"
)

// watch is a Watch under way. Its fields, save the channel, belong to the
// server's mutex.
type watch struct {
	driver *Driver
	awake  chan struct{} // holds one wake-up at most
	failed error
}

// Watch implements driver.Driver. It runs on the caller's goroutine alone.
func (d *Driver) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if err := driver.CheckTargets(target); err != nil {
		return err
	}
	w := &watch{driver: d, awake: make(chan struct{}, 1)}
	if err := w.start(ctx, target); err != nil {
		return err
	}
	defer w.stop(target)
	for {
		select {
		case <-w.awake:
		case <-ctx.Done():
		}
		entries, ok, err := w.next(ctx, target)
		if err != nil {
			return err
		}
		if ok {
			changed(entries)
		}
	}
}

func (w *watch) start(ctx context.Context, target driver.Target) error {
	s := w.driver.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := w.driver.unsent(ctx); err != nil {
		return err
	}
	if w.driver.link == up || w.driver.link == muted {
		w.driver.count(watches)
	}
	if s.watches[target] == nil {
		s.watches[target] = map[*watch]struct{}{}
	}
	s.watches[target][w] = struct{}{}
	w.wake()
	return nil
}

func (w *watch) stop(target driver.Target) {
	s := w.driver.server
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watches[target], w)
	if len(s.watches[target]) == 0 {
		delete(s.watches, target)
	}
}

// next reads the target, unless the connection lets nothing through: then the
// state is read when it is healed, which wakes the watch again.
func (w *watch) next(ctx context.Context, target driver.Target) (entries []driver.Entry, ok bool, err error) {
	d := w.driver
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	// A commit of several keys wakes several times before it lets go of the
	// mutex, which is once too often: what follows sees all of it.
	select {
	case <-w.awake:
	default:
	}
	switch {
	case ctx.Err() != nil:
		return nil, false, fmt.Errorf("%w: watch ended: %w", driver.ErrUnavailable, ctx.Err())
	case w.failed != nil:
		return nil, false, w.failed
	case d.link != up:
		return nil, false, nil
	}
	return d.stamped(d.server.read(target)), true, nil
}

// wake makes the watch look again, now or when it is done with the last look.
func (w *watch) wake() {
	select {
	case w.awake <- struct{}{}:
	default:
	}
}

// notify wakes the watches of a key and of its directory.
func (s *Server) notify(key string) {
	for w := range s.watches[driver.Key(key)] {
		w.wake()
	}
	for w := range s.watches[driver.Dir(parent(key))] {
		w.wake()
	}
}
