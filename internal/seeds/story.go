package seeds

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Story is what happened in a simulation, for when it fails: it is put into
// words only then. It may be told from several goroutines. The zero Story is
// ready to use.
type Story struct {
	mu     sync.Mutex
	began  time.Time
	events []event
}

type event struct {
	at     time.Duration
	format string
	args   []any
}

// Tell adds what happens now, and returns its number, from 1. What the
// arguments point to must not change.
func (s *Story) Tell(format string, args ...any) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began.IsZero() {
		s.began = time.Now()
	}
	s.events = append(s.events, event{time.Since(s.began), format, args})
	return len(s.events)
}

// String returns a line per event, with the time since the first.
func (s *Story) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, e := range s.events {
		fmt.Fprintf(&b, "%12v  %s\n", e.at.Round(time.Millisecond), fmt.Sprintf(e.format, e.args...))
	}
	return b.String()
}

// Pause waits for d and returns true, or false as soon as ctx ends.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
