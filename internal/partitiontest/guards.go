package partitiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/partition"
)

// slow is a driver on which commits that write data are under way until they
// are told to land; their senders have given them up.
type slow struct {
	driver.Driver
	mu   sync.Mutex
	held []driver.Txn
}

func (s *slow) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if !strings.Contains(txn.Ops[0].Key, "/data/late-") {
		return s.Driver.Commit(ctx, txn)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, txn)
	return driver.Result{}, fmt.Errorf("%w: it is under way", driver.ErrIndeterminate)
}

// land sends what is under way, in order.
func (s *slow) land(t testing.TB) (applied []bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, txn := range s.held {
		result, err := s.Driver.Commit(t.Context(), txn)
		if err != nil {
			t.Fatalf("a commit that lands late: %v", err)
		}
		applied = append(applied, result.Applied)
	}
	s.held = nil
	return applied
}

// slowly returns env with slow drivers.
func slowly(env *drivertest.Env) *drivertest.Env {
	slowed := *env
	slowed.Open = func(t testing.TB) driver.Driver { return &slow{Driver: env.Open(t)} }
	slowed.Heal = func(t testing.TB, d driver.Driver) {
		t.Helper()
		if s, ok := d.(*slow); ok {
			d = s.Driver
		}
		env.Heal(t, d)
	}
	return &slowed
}

func (f *field) copied() []*span {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.spans)
}

func (f *field) ended(s *span) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !s.end.IsZero()
}

// guardOfALateWrite: a guarded write that was sent in time, and lands once
// another member has claimed the slot, is refused.
func guardOfALateWrite(t *testing.T, env *drivertest.Env) {
	f := newCalmField(slowly(env), partition.Options{Slots: 4})
	a := f.start(t, "a")
	f.reaches(t, 5*time.Second, "a:4")
	under, ok := a.driver.(*slow)
	if !ok {
		t.Fatalf("the driver is a %T", a.driver)
	}
	first := f.copied()
	send := func(what string) {
		for _, s := range first {
			_, err := a.store.Commit(t.Context(), driver.Txn{
				Ops: []driver.Op{driver.Create(fmt.Sprintf("data/late-%s-%d", what, s.slot.Number()), nil)},
			}, s.slot.Guard())
			if !errors.Is(err, backend.ErrIndeterminate) {
				t.Fatalf("a write that is under way: %v, want ErrIndeterminate", err)
			}
		}
	}
	send("before")
	for i, applied := range under.land(t) {
		if !applied {
			t.Errorf("a write of slot %d that lands before the move is refused", first[i].slot.Number())
		}
	}
	send("after")
	f.start(t, "b")
	f.reaches(t, 5*time.Second, "a:2 b:2")
	for i, applied := range under.land(t) {
		if applied && f.ended(first[i]) {
			t.Errorf("a write of slot %d lands after another member has claimed it", first[i].slot.Number())
		}
	}
	f.finish(t, 0)
}

// guardThroughMoves: while other slots come and go, the guard of one that stays
// lets every write through.
func guardThroughMoves(t *testing.T, env *drivertest.Env) {
	f := newCalmField(env, partition.Options{Slots: 12})
	a := f.start(t, "a")
	f.reaches(t, 5*time.Second, "a:12")
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	var mu sync.Mutex
	written := make(map[*span]int)
	for _, s := range f.copied() {
		writers.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ctx.Err() == nil && !f.ended(s); i++ {
				_, err := a.store.Commit(ctx, driver.Txn{
					Ops: []driver.Op{driver.Create(fmt.Sprintf("data/%d-%d", s.slot.Number(), i), nil)},
				}, s.slot.Guard())
				if err != nil && ctx.Err() == nil && !f.ended(s) {
					t.Errorf("a write of slot %d, which stays: %v", s.slot.Number(), err)
					return
				}
				mu.Lock()
				written[s]++
				mu.Unlock()
				<-tick.C
			}
		})
	}
	b := f.start(t, "b")
	f.reaches(t, 5*time.Second, "a:6 b:6")
	c := f.start(t, "c")
	f.reaches(t, 5*time.Second, "a:4 b:4 c:4")
	c.leave(t)
	f.reaches(t, 5*time.Second, "a:6 b:6")
	b.leave(t)
	f.reaches(t, 5*time.Second, "a:12")
	stop()
	writers.Wait()
	stayed := 0
	for s, n := range written {
		if !f.ended(s) {
			stayed++
			if n < 5 {
				t.Errorf("slot %d was written %d times, too few to tell", s.slot.Number(), n)
			}
		}
	}
	if stayed != 4 {
		t.Errorf("%d slots stayed where they were all along, want 4", stayed)
	}
	f.finish(t, 0)
}
