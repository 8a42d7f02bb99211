package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/seeds"
	"github.com/quorate/quorate/lock"
)

// permits is how many permits the semaphore has at most.
const permits = 2

// locks are the mutex and the permits, by the words in the keys of guarded
// writes.
type locks map[string]*owned

func newLocks() locks {
	l := locks{"mutex": {what: "the mutex"}}
	for i := range permits {
		l[strconv.Itoa(i)] = &owned{what: fmt.Sprint("permit ", i)}
	}
	return l
}

// locksOf are what a process locks with.
type locksOf struct {
	mutex     *lock.Mutex
	semaphore *lock.Semaphore
}

func (s *simulation) newLocksOf(store *backend.Store) (l locksOf) {
	var err error
	if l.mutex, err = lock.NewMutex(store, "m", nil); err != nil {
		s.t.Fatal(err)
	}
	if l.semaphore, err = lock.NewSemaphore(store, "s", permits, nil); err != nil {
		s.t.Fatal(err)
	}
	return l
}

// lock takes a lock and gives it back. Now and then it removes the mutex, or
// changes the number of permits.
func (p *process) lock(random *rand.Rand) {
	if !seeds.Pause(p.ctx, upTo(random, 4*time.Second)) {
		return
	}
	ctx, cancel := patience(p.ctx, random)
	defer cancel()
	switch random.IntN(10) {
	case 0:
		p.told(ctx, "remove the mutex", p.locks.mutex.Remove(ctx))
		return
	case 1:
		p.told(ctx, "resize the semaphore", p.locks.semaphore.Resize(ctx, 1+random.IntN(permits)))
		return
	}
	how := []func(context.Context) (*lock.Held, error){
		p.locks.mutex.Lock, p.locks.mutex.TryLock, p.locks.semaphore.Acquire, p.locks.semaphore.TryAcquire,
	}
	which := random.IntN(len(how))
	h, err := how[which](ctx)
	if err != nil {
		p.told(ctx, "lock", err)
		return
	}
	name := "mutex"
	if which > 1 {
		name = strconv.Itoa(h.Permit())
	}
	p.hold(name, h, random)
	giving, cancel := patience(context.WithoutCancel(p.ctx), random)
	defer cancel()
	_ = h.Unlock(giving)
}

// told notes what a call returned. It fails only if its context ended, or for
// those who hold the lock.
func (p *process) told(ctx context.Context, what string, err error) {
	p.s.story.Tell("%s was to %s: %v", p.id, what, err)
	if err != nil && ctx.Err() == nil && !errors.Is(err, lock.ErrBusy) && !errors.Is(err, lock.ErrInUse) {
		p.s.t.Errorf("%s could not %s: %v", p.id, what, err)
	}
}

// hold holds a lock for a while, and writes under its guard.
func (p *process) hold(name string, h *lock.Held, random *rand.Rand) {
	s := p.s
	o := s.locks[name]
	s.mu.Lock()
	sp := o.begin(p, fmt.Sprintf("%s.%d.%d", p.id, p.serial, len(o.spans)), h.Token())
	s.mu.Unlock()
	s.story.Tell("%s holds %s with token %d", sp.by, o.what, h.Token())
	ctx, cancel := backend.JoinContexts(h.Context(), p.ctx)
	defer cancel(nil)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		sp.end = time.Now()
		s.story.Tell("%s ends %s: %v", sp.by, o.what, context.Cause(ctx))
	}()
	for i := 0; random.IntN(4) > 0; i++ {
		if !seeds.Pause(ctx, upTo(random, ttl/4)) {
			return
		}
		key := fmt.Sprintf("data/lock/%s/%s/%d", name, sp.by, i)
		_, _ = p.store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}}, h.Guard())
	}
}

// lockedWithin is from the last fault on, and for the turns of the others: each
// holds a lock for a few seconds.
const lockedWithin = disturbed + ledWithin + 2*time.Minute

// locked holds that each living process gets the mutex and a permit.
func (s *simulation) locked() {
	for _, p := range s.living() {
		ctx, cancel := context.WithTimeout(context.Background(), lockedWithin)
		defer cancel()
		for what, do := range map[string]func(context.Context, func(context.Context, *lock.Held) error) error{
			"the mutex": p.locks.mutex.Do, "a permit": p.locks.semaphore.Do,
		} {
			if err := do(ctx, func(context.Context, *lock.Held) error { return nil }); err != nil {
				s.t.Errorf("%s does not get %s within %v: %v", p.id, what, lockedWithin, err)
			}
		}
	}
}

// check holds that no two held one at a time, and that tokens grow.
func (l locks) check(s *simulation, allowed time.Duration) {
	for _, o := range l {
		o.checkOverlap(s, allowed)
		if s.holds(termsGrow) {
			o.checkTokens(s)
		}
		if now := o.running(); len(now) > 0 {
			s.t.Errorf("%s is still held by %v", o.what, who(now))
		}
	}
}
