package locktest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/lock"
)

func lockAndUnlock(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	var last uint64
	for i := range 6 {
		m := []*process{p, q}[i%2].mutex(t, "a/b")
		h := hold(t, m.Lock)
		if h.Token() <= last {
			t.Errorf("token %d after %d", h.Token(), last)
		}
		last = h.Token()
		unlock(t, h)
		unlock(t, h) // once more says the same
	}
	p.unused(t, "mutex/a%2Fb")
}

func servedInOrder(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	h := hold(t, p.mutex(t, "m").Lock)
	const n = 4
	var got [n]<-chan *lock.Held
	for i := range n {
		got[i] = inBackground(t, open(t, env).mutex(t, "m").Lock)
		p.queued(t, "mutex/m", i+1)
	}
	for i := range n {
		token := h.Token()
		unlock(t, h)
		if h = within(t, 5*time.Second, fmt.Sprintf("waiter %d holds it", i), got[i]); h.Token() <= token {
			t.Errorf("token %d after %d", h.Token(), token)
		}
	}
	unlock(t, h)
}

// oneReadOneCommit: what a free mutex costs that was used before.
func oneReadOneCommit(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	m := p.mutex(t, "m")
	unlock(t, hold(t, m.Lock))
	for _, take := range []locker{m.Lock, m.TryLock} {
		reads, commits := p.calls.reads.Load(), p.calls.commits.Load()
		h := hold(t, take)
		if r, c := p.calls.reads.Load()-reads, p.calls.commits.Load()-commits; r != 1 || c != 1 {
			t.Errorf("a free mutex took %d reads and %d commits, want one of each", r, c)
		}
		reads, commits = p.calls.reads.Load(), p.calls.commits.Load()
		unlock(t, h)
		if r, c := p.calls.reads.Load()-reads, p.calls.commits.Load()-commits; r != 0 || c != 1 {
			t.Errorf("Unlock took %d reads and %d commits, want one commit", r, c)
		}
	}
}

func tryNeverQueues(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	m, other := p.mutex(t, "m"), q.mutex(t, "m")
	h := hold(t, m.TryLock) // the first use of the name
	for range 5 {
		busy(t, other.TryLock)
		busy(t, m.TryLock)
	}
	got := inBackground(t, open(t, env).mutex(t, "m").Lock)
	p.queued(t, "mutex/m", 1)
	busy(t, other.TryLock)
	unlock(t, h)
	unlock(t, within(t, 5*time.Second, "the waiter holds it", got))
	unlock(t, hold(t, other.TryLock))
	// At many moments of a try.
	for i := range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*500*time.Microsecond)
		if h, err := other.TryLock(ctx); err == nil {
			unlock(t, h)
		} else if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, lock.ErrBusy) {
			t.Errorf("TryLock = %v, want the cause of its context's end", err)
		}
		cancel()
	}
	for _, tried := range []*process{p, q} {
		if n := tried.calls.joins.Load(); n != 0 {
			t.Errorf("TryLock created %d queue entries", n)
		}
	}
	p.unused(t, "mutex/m")
}

func cancelledLock(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	m := q.mutex(t, "m")
	h := hold(t, p.mutex(t, "m").Lock)
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*500*time.Microsecond)
		if _, err := m.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock = %v, want the cause of its context's end", err)
		}
		cancel()
	}
	p.queued(t, "mutex/m", 0)
	unlock(t, h)
	p.unused(t, "mutex/m")
}

func notReentrant(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	m := p.mutex(t, "m")
	h := hold(t, m.Lock)
	busy(t, m.TryLock)
	got := inBackground(t, m.Lock)
	p.queued(t, "mutex/m", 1)
	select {
	case <-got:
		t.Error("a second Lock of the same Mutex did not wait")
	default:
	}
	unlock(t, h)
	again := within(t, 5*time.Second, "the second Lock returns", got)
	if again.Token() <= h.Token() {
		t.Errorf("token %d after %d", again.Token(), h.Token())
	}
	unlock(t, again)
}

func guardRefuses(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	write := func(h *lock.Held, key string) error {
		_, err := p.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create("data/"+key, nil)}}, h.Guard())
		return err
	}
	old := hold(t, p.mutex(t, "m").Lock)
	if err := write(old, "during"); err != nil || old.Guard().Token() != old.Token() {
		t.Errorf("a guarded commit while the lock is held: %v", err)
	}
	unlock(t, old)
	next := hold(t, q.mutex(t, "m").Lock)
	if err := write(old, "after"); !errors.Is(err, backend.ErrFenced) {
		t.Errorf("a commit guarded by an old token = %v, want ErrFenced", err)
	}
	unlock(t, next)
}

func doJoins(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	m := p.mutex(t, "m")
	failed := errors.New("failed")
	err := m.Do(t.Context(), func(ctx context.Context, h *lock.Held) error {
		if ctx.Err() != nil || !h.Valid() {
			t.Error("the function runs without the lock")
		}
		busy(t, m.TryLock)
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("Do = %v, want what the function returned", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	returned := false
	err = m.Do(ctx, func(ctx context.Context, _ *lock.Held) error {
		cancel()
		<-ctx.Done()
		busy(t, m.TryLock) // the lock is given back after the function
		returned = true
		return nil
	})
	if err != nil || !returned {
		t.Errorf("Do = %v, the function had returned: %v", err, returned)
	}
	err = m.Do(t.Context(), func(ctx context.Context, _ *lock.Held) error {
		env.Expire(t, p.calls.last())
		<-ctx.Done()
		return failed
	})
	if !errors.Is(err, lock.ErrLost) || !errors.Is(err, failed) {
		t.Errorf("Do = %v, want ErrLost and what the function returned", err)
	}
	p.unused(t, "mutex/m")
	// Catches: the loss of the lock around, taken for one of the lock itself.
	q := open(t, env)
	inner := q.mutex(t, "inner")
	err = m.Do(t.Context(), func(ctx context.Context, _ *lock.Held) error {
		err := inner.Do(ctx, func(ctx context.Context, _ *lock.Held) error {
			env.Expire(t, p.calls.last())
			<-ctx.Done()
			return failed
		})
		if !errors.Is(err, failed) || errors.Is(err, lock.ErrLost) {
			t.Errorf("Do = %v within one that was lost, want what the function returned", err)
		}
		return nil
	})
	if !errors.Is(err, lock.ErrLost) {
		t.Errorf("Do = %v, want ErrLost", err)
	}
	q.unused(t, "mutex/inner")
}

func leaseEnded(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	old := hold(t, p.mutex(t, "m").Lock)
	got := inBackground(t, q.mutex(t, "m").Lock)
	p.queued(t, "mutex/m", 1)
	env.Expire(t, p.calls.last())
	within(t, env.TTL, "the lock is lost", old.Context().Done())
	if cause := context.Cause(old.Context()); !errors.Is(cause, lock.ErrLost) || old.Valid() {
		t.Errorf("the lock ended with %v, valid: %v", cause, old.Valid())
	}
	h := within(t, env.TTL, "the next holds it", got)
	if h.Token() <= old.Token() {
		t.Errorf("token %d after %d", h.Token(), old.Token())
	}
	unlock(t, h)
	unlock(t, old)
}

// namesThatChange: mutexes that are over leave no goroutine and no watch, and
// once they are removed no key but the floor.
func namesThatChange(t *testing.T, env *drivertest.Env) {
	const names, workers = 60, 10
	p := open(t, env)
	use := func(i int) {
		m := p.mutex(t, fmt.Sprint("customer-", i))
		h, err := m.Lock(t.Context())
		if err != nil {
			t.Errorf("Lock: %v", err)
			return
		}
		unlock(t, h)
		if err := m.Remove(t.Context()); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	useAll := func(from, to int) {
		var all sync.WaitGroup
		for worker := range workers {
			all.Go(func() {
				for i := from + worker; i < to; i += workers {
					use(i)
				}
			})
		}
		all.Wait()
	}
	useAll(names, names+2*workers) // the client opens its connections
	goroutines, watching := runtime.NumGoroutine(), p.calls.watching.Load()
	useAll(0, names)
	eventually(t, 5*time.Second, "nothing is left in the process", func() error {
		if now := runtime.NumGoroutine(); now > goroutines+names/10 {
			return fmt.Errorf("%d goroutines, %d before", now, goroutines)
		}
		if now := p.calls.watching.Load(); now > watching {
			return fmt.Errorf("%d watches, %d before", now, watching)
		}
		return nil
	})
	for i := range names {
		if keys, _, err := p.keys(t.Context(), fmt.Sprint("mutex/customer-", i)); err != nil || len(keys) > 0 {
			t.Fatalf("%v is left of a removed mutex, %v", keys, err)
		}
	}
}
