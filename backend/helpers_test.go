package backend_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

// What follows from the default TTL of 10 s.
const (
	ttl    = backend.DefaultTTL
	margin = ttl / 10
	window = ttl - margin
)

// bubble runs f in a bubble of virtual time, over a store of its own.
func bubble(t *testing.T, f func(t *testing.T, server *memory.Server)) {
	synctest.Test(t, func(t *testing.T) { f(t, memory.NewServer()) })
}

// over returns a Store over a driver, closed when the test ends.
func over(t *testing.T, d driver.Driver, options *backend.Options) *backend.Store {
	t.Helper()
	s, err := backend.New(d, options)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// open returns a Store over a new driver of server, and that driver.
func open(t *testing.T, server *memory.Server, options *backend.Options) (*backend.Store, *memory.Driver) {
	t.Helper()
	d := memory.NewDriver(server)
	return over(t, d, options), d
}

func session(t *testing.T, s *backend.Store) *backend.Session {
	t.Helper()
	session, err := s.Session(t.Context())
	if err != nil {
		t.Fatalf("Session: %v", err)
	}
	return session
}

// put creates a key, or replaces its value.
func put(t *testing.T, s *backend.Store, key, value string) backend.Version {
	t.Helper()
	entry, found, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	op := driver.Create(key, []byte(value))
	if found {
		op = driver.Put(key, []byte(value), entry.Version)
	}
	result, err := s.Commit(t.Context(), backend.Txn{Ops: []backend.Op{op}})
	if err != nil || !result.Applied {
		t.Fatalf("put of %q: %+v, %v", key, result, err)
	}
	return result.Versions[0]
}

// wantErr fails unless err wraps all of targets.
func wantErr(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error %q does not wrap %q", err, target)
		}
	}
}

// since returns a func that gives the virtual time since now.
func since() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

func wantTime(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got != want {
		t.Errorf("%s after %v, want %v", what, got, want)
	}
}

// noGoroutines fails if one that this package began is still there.
func noGoroutines(t *testing.T) {
	t.Helper()
	synctest.Wait()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "created by github.com/quorate/quorate/backend") {
			t.Errorf("left behind:\n%s", stack)
		}
	}
}

// log is a list that goroutines append to.
type log[T any] struct {
	mu   sync.Mutex
	list []T
}

func (l *log[T]) add(x T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, x)
}

func (l *log[T]) all() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]T(nil), l.list...)
}

// ended reports whether ctx has ended.
func ended(ctx context.Context) bool { return ctx.Err() != nil }

// endsAfter fails unless the session's trust ends exactly d from now. It waits
// no longer than that: a session that never ends would keep the bubble's time
// running for ever.
func endsAfter(t *testing.T, held *backend.Session, d time.Duration) {
	t.Helper()
	time.Sleep(d - 1)
	synctest.Wait()
	if !held.Valid() || ended(held.Context()) {
		t.Errorf("session over %v before its deadline: %v", held.TrustLeft(), context.Cause(held.Context()))
	}
	time.Sleep(1)
	synctest.Wait()
	if held.Valid() || !ended(held.Context()) {
		t.Fatalf("session not over at its deadline, %v left", held.TrustLeft())
	}
}
