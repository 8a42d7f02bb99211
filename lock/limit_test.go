package lock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/lock"
)

// gated holds back the next commit that creates a key which ends so.
type gated struct {
	driver.Driver
	mu     sync.Mutex // guards suffix
	suffix string
	held   chan struct{} // closed when it is held back
	let    chan struct{} // lets it go
}

func (g *gated) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	g.mu.Lock()
	hold := false
	for _, op := range txn.Ops {
		hold = hold || g.suffix != "" && op.Kind == driver.OpCreate && strings.HasSuffix(op.Key, g.suffix)
	}
	if hold {
		g.suffix = ""
	}
	g.mu.Unlock()
	if hold {
		close(g.held)
		<-g.let
	}
	return g.Driver.Commit(ctx, txn)
}

func over(t *testing.T, d driver.Driver) *backend.Store {
	t.Helper()
	store, err := backend.New(d, &backend.Options{TTL: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func semaphore(t *testing.T, store *backend.Store, n int) *lock.Semaphore {
	t.Helper()
	s, err := lock.NewSemaphore(store, "s", n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestATakeUnderAnOlderLimitIsRefused: a process has read that there are two
// permits. Its commit arrives after the number was set to one.
func TestATakeUnderAnOlderLimitIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		g := &gated{Driver: memory.NewDriver(server), held: make(chan struct{}), let: make(chan struct{})}
		s, other := semaphore(t, over(t, g), 2), semaphore(t, over(t, memory.NewDriver(server)), 2)
		if _, err := other.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.mu.Lock()
		g.suffix = "1.leader"
		g.mu.Unlock()
		result := make(chan error, 1)
		go func() {
			h, err := s.TryAcquire(t.Context())
			if err == nil {
				t.Errorf("permit %d was taken, there is only 0", h.Permit())
			}
			result <- err
		}()
		<-g.held
		if err := other.Resize(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		close(g.let)
		if err := <-result; !errors.Is(err, lock.ErrBusy) {
			t.Errorf("TryAcquire = %v, want ErrBusy", err)
		}
	})
}
