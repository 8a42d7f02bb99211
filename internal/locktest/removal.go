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

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/lock"
)

func removedAndUsedAgain(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	m := p.mutex(t, "m")
	if err := m.Remove(t.Context()); err != nil {
		t.Errorf("Remove of a name that nobody used: %v", err)
	}
	var last uint64
	for range 3 {
		// Another process knows nothing of the tokens before.
		h := hold(t, open(t, env).mutex(t, "m").Lock)
		if h.Token() <= last {
			t.Errorf("token %d after %d and a removal", h.Token(), last)
		}
		last = h.Token()
		if err := m.Remove(t.Context()); !errors.Is(err, lock.ErrInUse) {
			t.Errorf("Remove of a mutex that is held = %v, want ErrInUse", err)
		}
		got := inBackground(t, q.mutex(t, "m").Lock)
		p.queued(t, "mutex/m", 1)
		unlock(t, h)
		h = within(t, 5*time.Second, "the waiter holds it", got)
		last = max(last, h.Token())
		unlock(t, h)
		if err := m.Remove(t.Context()); err != nil {
			t.Errorf("Remove: %v", err)
		}
		if keys, _, err := p.keys(t.Context(), "mutex/m"); err != nil || len(keys) > 0 {
			t.Errorf("%v is left of a removed mutex, %v", keys, err)
		}
	}
}

// removedWhileInUse: two processes use a mutex that a third removes whenever it
// can. There is one holder at a time, and tokens grow.
func removedWhileInUse(t *testing.T, env *drivertest.Env) {
	const rounds = 15
	remover := open(t, env).mutex(t, "m")
	var last atomic.Uint64
	var holders, removed atomic.Int64
	var users sync.WaitGroup
	for range 2 {
		m := open(t, env).mutex(t, "m")
		users.Go(func() {
			for range rounds {
				err := m.Do(t.Context(), func(_ context.Context, h *lock.Held) error {
					if n := holders.Add(1); n != 1 {
						t.Errorf("%d hold the mutex", n)
					}
					defer holders.Add(-1)
					if before := last.Swap(h.Token()); h.Token() <= before {
						t.Errorf("token %d after %d", h.Token(), before)
					}
					return nil
				})
				if err != nil {
					t.Errorf("Do: %v", err)
				}
			}
		})
	}
	over := make(chan struct{})
	var removing sync.WaitGroup
	removing.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			if err := remover.Remove(t.Context()); err == nil {
				removed.Add(1)
			} else if !errors.Is(err, lock.ErrInUse) {
				t.Errorf("Remove: %v", err)
				return
			}
		}
	})
	users.Wait()
	close(over)
	removing.Wait()
	t.Logf("%d removals beside %d locks", removed.Load(), 2*rounds)
}

func permits(t *testing.T, env *drivertest.Env) {
	const n = 3
	p := open(t, env)
	var all [n]*process
	seen := map[int]*lock.Held{}
	for i := range n {
		all[i] = open(t, env)
		h := hold(t, all[i].semaphore(t, n).Acquire)
		if h.Permit() != i || seen[h.Permit()] != nil {
			t.Errorf("permit %d, want %d: the lowest that is free", h.Permit(), i)
		}
		seen[h.Permit()] = h
	}
	for i, holder := range all {
		if dirs := holder.calls.dirs.Load(); dirs > 0 {
			t.Errorf("the holder of permit %d watches %d directories", i, dirs)
		}
	}
	s := p.semaphore(t, n)
	busy(t, s.TryAcquire)
	got := inBackground(t, s.Acquire)
	p.queued(t, "semaphore/s", 1)
	unlock(t, seen[1])
	h := within(t, 5*time.Second, "the waiter has a permit", got)
	if h.Permit() != 1 || h.Token() <= seen[1].Token() {
		t.Errorf("permit %d with token %d after permit 1 with token %d", h.Permit(), h.Token(), seen[1].Token())
	}
	if err := s.Remove(t.Context()); !errors.Is(err, lock.ErrInUse) {
		t.Errorf("Remove = %v, want ErrInUse", err)
	}
	for _, h := range []*lock.Held{seen[0], h, seen[2]} {
		unlock(t, h)
	}
	unlock(t, hold(t, s.TryAcquire))
	if err := s.Remove(t.Context()); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if keys, _, err := p.keys(t.Context(), "semaphore/s"); err != nil || len(keys) > 0 {
		t.Errorf("%v is left of a removed semaphore, %v", keys, err)
	}
	again := hold(t, s.Acquire)
	if again.Token() <= seen[0].Token() {
		t.Errorf("token %d after %d and a removal", again.Token(), seen[0].Token())
	}
	unlock(t, again)
}

func permitsInOrder(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	s := p.semaphore(t, 2)
	a, b := hold(t, s.Acquire), hold(t, s.Acquire)
	const n = 4
	var got [n]<-chan *lock.Held
	for i := range n {
		got[i] = inBackground(t, open(t, env).semaphore(t, 2).Acquire)
		p.queued(t, "semaphore/s", i+1)
	}
	next := []*lock.Held{a, b}
	for i := range n {
		unlock(t, next[0])
		next = append(next[1:], within(t, 5*time.Second, fmt.Sprintf("waiter %d has a permit", i), got[i]))
	}
	for _, h := range next {
		unlock(t, h)
	}
}

func resized(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	s := p.semaphore(t, 1)
	a := hold(t, s.Acquire)
	// The stored number counts, not that of the newcomer.
	busy(t, q.semaphore(t, 5).TryAcquire)
	got := inBackground(t, q.semaphore(t, 1).Acquire)
	p.queued(t, "semaphore/s", 1)
	if err := s.Resize(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	b := within(t, 5*time.Second, "the waiter has the new permit", got)
	if b.Permit() != 1 {
		t.Errorf("permit %d, want 1", b.Permit())
	}
	if err := s.Resize(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if b.Context().Err() != nil {
		t.Error("a permit that is held ended with Resize")
	}
	unlock(t, b)
	busy(t, s.TryAcquire)
	unlock(t, a)
	c := hold(t, s.TryAcquire)
	if c.Permit() != 0 {
		t.Errorf("permit %d, there is only 0", c.Permit())
	}
	unlock(t, c)
}

// permitDeleted: the key of one permit is deleted by hand. Its holder ends, the
// others do not.
func permitDeleted(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	s := p.semaphore(t, 2)
	a, b := hold(t, s.Acquire), hold(t, s.Acquire)
	hand := open(t, env)
	for _, what := range []string{"1.leader", "1.mark"} {
		deleteByHand(t, hand, what)
		within(t, env.TTL, "the permit whose "+what+" went is lost", b.Context().Done())
		if cause := context.Cause(b.Context()); !errors.Is(cause, lock.ErrLost) {
			t.Errorf("the permit ended with %v, want ErrLost", cause)
		}
		unlock(t, b)
		token := b.Token()
		if b = hold(t, s.Acquire); b.Permit() != 1 || b.Token() <= token {
			t.Errorf("permit %d with token %d after permit 1 with token %d", b.Permit(), b.Token(), token)
		}
	}
	if a.Context().Err() != nil {
		t.Errorf("the other permit ended: %v", context.Cause(a.Context()))
	}
	unlock(t, a)
	unlock(t, b)
}

// deleteByHand deletes the leader key of permit 1, or its own mark.
func deleteByHand(t testing.TB, hand *process, what string) {
	t.Helper()
	all, _, err := hand.keys(t.Context(), "semaphore/s")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		name := strings.TrimPrefix(e.Key, "semaphore/s/tenure/")
		if strings.HasPrefix(name, "1.") && !strings.HasSuffix(name, ".spare") && (name == "1.leader") == (what == "1.leader") {
			if _, err := hand.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Delete(e.Key, driver.Version{})}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
