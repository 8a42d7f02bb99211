// Package locktest is the test suite of package lock that runs on every store:
// the scenarios hold for any driver that passes drivertest, whose environment
// they use.
package locktest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/lock"
)

// Scenario is one test.
type Scenario struct {
	Name string
	Run  func(t *testing.T, env *drivertest.Env)
}

// Scenarios returns all tests.
func Scenarios() []Scenario {
	return []Scenario{
		{"lock-and-unlock", lockAndUnlock},
		{"served-in-order", servedInOrder},
		{"one-read-one-commit", oneReadOneCommit},
		{"try-never-queues", tryNeverQueues},
		{"cancelled-lock-leaves-no-key", cancelledLock},
		{"not-reentrant", notReentrant},
		{"guard-refuses-an-old-holder", guardRefuses},
		{"do-joins-its-function", doJoins},
		{"lease-ended-at-the-store", leaseEnded},
		{"names-that-change", namesThatChange},
		{"removed-and-used-again", removedAndUsedAgain},
		{"removed-while-in-use", removedWhileInUse},
		{"permits", permits},
		{"permits-first-come-first-served", permitsInOrder},
		{"more-and-fewer-permits", resized},
		{"one-permit-deleted-by-hand", permitDeleted},
	}
}

// Run runs all tests in real time, each in an environment of its own.
func Run(t *testing.T, factory drivertest.Factory) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, factory(t)) })
	}
}

// slack is what a busy machine may add to anything.
const slack = 5 * time.Second

// process is one process's Store, with what the tests need to know of it.
type process struct {
	*backend.Store
	calls *calls
}

func open(t testing.TB, env *drivertest.Env) *process {
	t.Helper()
	c := &calls{Driver: env.Open(t)}
	store, err := backend.New(c, &backend.Options{
		Namespace: env.Prefix, TTL: env.TTL, CallTimeout: 3 * time.Second, CloseTimeout: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &process{Store: store, calls: c}
}

func (p *process) mutex(t testing.TB, name string) *lock.Mutex {
	t.Helper()
	m, err := lock.NewMutex(p.Store, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (p *process) semaphore(t testing.TB, n int) *lock.Semaphore {
	t.Helper()
	s, err := lock.NewSemaphore(p.Store, "s", n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// locker is Lock, TryLock, Acquire or TryAcquire.
type locker func(context.Context) (*lock.Held, error)

func hold(t testing.TB, take locker) *lock.Held {
	t.Helper()
	h, err := take(t.Context())
	if err != nil {
		t.Fatalf("the lock was not taken: %v", err)
	}
	if !h.Valid() || h.Context().Err() != nil {
		t.Error("a lock that was just taken is not valid")
	}
	return h
}

func unlock(t testing.TB, h *lock.Held) {
	t.Helper()
	if err := h.Unlock(t.Context()); err != nil {
		t.Errorf("Unlock of token %d: %v", h.Token(), err)
	}
	if cause := context.Cause(h.Context()); !errors.Is(cause, lock.ErrUnlocked) && !errors.Is(cause, lock.ErrLost) {
		t.Errorf("the context ended with %v", cause)
	}
}

func busy(t testing.TB, take locker) {
	t.Helper()
	if h, err := take(t.Context()); !errors.Is(err, lock.ErrBusy) {
		t.Fatalf("a try returned %v, %v, want ErrBusy", h, err)
	}
}

// inBackground starts to wait; the channel yields what was taken.
func inBackground(t testing.TB, take locker) <-chan *lock.Held {
	got := make(chan *lock.Held, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if h, err := take(ctx); err == nil {
			got <- h
		} else if ctx.Err() == nil {
			t.Errorf("waiting for a lock: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return got
}

// within waits for c, at most d and some slack.
func within[T any](t testing.TB, d time.Duration, what string, c <-chan T) (v T) {
	t.Helper()
	timer := time.NewTimer(d + slack)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		t.Fatalf("not within %v: %s", d, what)
	}
	return v
}

// eventually waits until check returns nil, at most d and some slack.
func eventually(t testing.TB, d time.Duration, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(d + slack)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", d, what, err)
		}
		<-tick.C
	}
}

// keys lists all keys of a lock, and how many of them wait in the queue.
func (p *process) keys(ctx context.Context, of string) (all []driver.Entry, waiting int, err error) {
	read, err := p.Read(ctx, driver.Dir(of+"/queue"), driver.Dir(of+"/tenure"))
	if err != nil {
		return nil, 0, err
	}
	return append(read[0], read[1]...), len(read[0]), nil
}

// queued waits until n wait in the queue.
func (p *process) queued(t testing.TB, of string, n int) {
	t.Helper()
	eventually(t, 5*time.Second, fmt.Sprintf("%d wait for %s", n, of), func() error {
		_, waiting, err := p.keys(t.Context(), of)
		if err == nil && waiting != n {
			err = fmt.Errorf("%d do", waiting)
		}
		return err
	})
}

// unused waits until nobody holds a lock or waits for it.
func (p *process) unused(t testing.TB, of string) {
	t.Helper()
	eventually(t, 2*time.Second, "nobody holds "+of, func() error {
		all, _, err := p.keys(t.Context(), of)
		for _, e := range all {
			if e.Lease != "" {
				err = fmt.Errorf("%s is there", e.Key)
			}
		}
		return err
	})
}

// calls counts the calls to a driver and keeps its last lease.
type calls struct {
	driver.Driver
	reads, commits, joins atomic.Int64
	watching, dirs        atomic.Int64 // watches that last, and those of them of directories

	mu    sync.Mutex // guards lease
	lease driver.Lease
}

func (c *calls) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	c.reads.Add(1)
	return c.Driver.Read(ctx, targets...)
}

func (c *calls) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	c.commits.Add(1)
	for _, op := range txn.Ops {
		if op.Kind == driver.OpCreate && strings.Contains(op.Key, "/queue/") {
			c.joins.Add(1)
		}
	}
	return c.Driver.Commit(ctx, txn)
}

func (c *calls) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	c.watching.Add(1)
	defer c.watching.Add(-1)
	if target.Dir {
		c.dirs.Add(1)
		defer c.dirs.Add(-1)
	}
	return c.Driver.Watch(ctx, target, changed)
}

func (c *calls) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	lease, err := c.Driver.Grant(ctx, ttl)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lease = lease
	}
	return lease, err
}

func (c *calls) last() driver.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lease
}
