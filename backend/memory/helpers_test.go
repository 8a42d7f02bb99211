package memory_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

const ttl = 10 * time.Second

// bubble runs f in a bubble of virtual time, with a store and a client of it.
func bubble(t *testing.T, f func(t *testing.T, s *memory.Server, d *memory.Driver)) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.NewServer()
		d := memory.NewDriver(s)
		defer d.Close(t.Context())
		f(t, s, d)
	})
}

func commit(t *testing.T, d driver.Driver, lease string, ops ...driver.Op) driver.Result {
	t.Helper()
	r, err := d.Commit(t.Context(), driver.Txn{Ops: ops, Lease: lease})
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return r
}

// apply commits what must be applied, and returns the versions.
func apply(t *testing.T, d driver.Driver, lease string, ops ...driver.Op) []driver.Version {
	t.Helper()
	r := commit(t, d, lease, ops...)
	if !r.Applied {
		t.Fatalf("Commit of %v was refused: %v", ops, r.Current)
	}
	return r.Versions
}

// get returns the entry of a key, and whether it is there.
func get(t *testing.T, d driver.Driver, key string) (driver.Entry, bool) {
	t.Helper()
	all, err := d.Read(t.Context(), driver.Key(key))
	if err != nil {
		t.Fatalf("Read(%q): %v", key, err)
	}
	if len(all[0]) == 0 {
		return driver.Entry{}, false
	}
	return all[0][0], true
}

func grant(t *testing.T, d driver.Driver) driver.Lease {
	t.Helper()
	l, err := d.Grant(t.Context(), ttl)
	if err != nil {
		t.Fatalf("Grant: %v", err)
	}
	return l
}

func renew(t *testing.T, l driver.Lease) {
	t.Helper()
	if validFor, err := l.Renew(t.Context()); err != nil || validFor != ttl {
		t.Fatalf("Renew = %v, %v, want %v", validFor, err, ttl)
	}
}

func lost(l driver.Lease) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

// watching is a watch on its own goroutine that notes what it is shown.
type watching struct {
	stop   context.CancelFunc
	mu     sync.Mutex
	states [][]driver.Entry
	ended  error
}

// watch starts a watch, which ends with the test.
func watch(t *testing.T, d driver.Driver, target driver.Target) *watching {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{stop: cancel}
	go func() {
		err := d.Watch(ctx, target, func(entries []driver.Entry) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.states = append(w.states, entries)
		})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = err
	}()
	synctest.Wait()
	return w
}

func (w *watching) seen() [][]driver.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.states)
}

func (w *watching) last() []driver.Entry { return w.seen()[len(w.seen())-1] }

func (w *watching) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}
