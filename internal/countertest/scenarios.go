package countertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/counter"
)

func addAndCompare(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env, nil), open(t, env, nil)
	p.value(t, 0)
	p.add(t, 5, 5)
	q.add(t, -7, -2)
	p.value(t, -2)
	for _, step := range []struct {
		old, next int64
		want      bool
	}{{5, 6, false}, {-2, 6, true}, {-2, 7, false}} {
		if got, err := p.CompareAndSet(patient(t), step.old, step.next); err != nil || got != step.want {
			t.Errorf("CompareAndSet(%d, %d) = %t, %v", step.old, step.next, got, err)
		}
	}
	q.value(t, 6)
	if err := p.store.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.Add(patient(t), 1); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("Add after Close: %v, want ErrClosed", err)
	}
}

// countTogether: every add of one gets a result of its own, none is missing.
func countTogether(t *testing.T, env *drivertest.Env) {
	const processes, callers, adds = 3, 8, 5
	var mu sync.Mutex
	seen := make(map[int64]bool)
	var wg sync.WaitGroup
	for range processes {
		p := open(t, env, nil)
		for range callers {
			wg.Go(func() {
				for range adds {
					got, err := p.Add(patient(t), 1)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if seen[got] {
						t.Errorf("%d twice", got)
					}
					seen[got] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	for i := range int64(processes * callers * adds) {
		if !seen[i+1] {
			t.Errorf("nobody got %d", i+1)
		}
	}
}

func bounds(t *testing.T, env *drivertest.Env) {
	low, high := int64(0), int64(10)
	limits := &counter.Options{Min: &low, Max: &high}
	p, q := open(t, env, limits), open(t, env, limits)
	if _, err := p.Add(patient(t), -1); !errors.Is(err, counter.ErrOutOfRange) {
		t.Errorf("below Min: %v", err)
	}
	p.add(t, 10, 10)
	if _, err := q.Add(patient(t), 1); !errors.Is(err, counter.ErrOutOfRange) {
		t.Errorf("above Max: %v", err)
	}
	q.add(t, -3, 7)
	p.add(t, 3, 10) // though 10 is what it last saw
	if _, err := p.Add(patient(t), 1); !errors.Is(err, counter.ErrOutOfRange) {
		t.Errorf("above Max: %v", err)
	}
	p.value(t, 10)
}

func awayAtStart(t *testing.T, env *drivertest.Env) {
	p := open(t, env, nil)
	env.Cut(t, p.driver)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := p.Add(short, 100); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("Add without a store: %v, want the end of its context alone", err)
	}
	added := make(chan struct{})
	go func() {
		defer close(added)
		p.add(t, 1, 1)
	}()
	env.Heal(t, p.driver)
	<-added
}

// lostReplies: what is sent is applied and no reply comes. It is counted once.
func lostReplies(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env, nil), open(t, env, nil)
	p.add(t, 1, 1)
	for round := range int64(3) {
		env.Mute(t, p.driver)
		added := make(chan struct{})
		go func() {
			defer close(added)
			p.add(t, 10, 10*round+11)
		}()
		for deadline := time.Now().Add(patience); ; {
			if got, err := q.Value(patient(t)); err == nil && got == 10*round+11 {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("not applied: %d, %v", got, err)
			}
		}
		env.Heal(t, p.driver)
		<-added
		q.value(t, 10*round+11)
	}
}

// givenUpInSilence: callers give up while nothing passes. Each of their adds
// is applied once or never, and none after the next one was acknowledged.
func givenUpInSilence(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env, nil), open(t, env, nil)
	p.add(t, 1, 1)
	env.Silence(t, p.driver)
	for range 2 {
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		_, err := p.Add(short, 100)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Add in silence: %v", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Add gave up after %v of 300 ms", took)
		}
	}
	env.Heal(t, p.driver)
	got, err := p.Add(patient(t), 1)
	if err != nil || got != 2 && got != 102 && got != 202 {
		t.Fatalf("the next add: %d, %v", got, err)
	}
	q.add(t, 1, got+1)
	q.value(t, got+1)
}

// cutAndHealed: connections break all the time, and every add is counted once.
func cutAndHealed(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env, nil), open(t, env, nil)
	var wg sync.WaitGroup
	const callers, adds = 4, 6
	for range callers {
		wg.Go(func() {
			for range adds {
				if _, err := p.Add(patient(t), 1); err != nil {
					t.Error(err)
				}
				if _, err := q.Add(patient(t), 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	// The pauses grow: on a slow machine a new connection may take longer than the first.
	for ended, pause := false, 100*time.Millisecond; !ended; pause += 20 * time.Millisecond {
		env.Cut(t, p.driver)
		env.Heal(t, p.driver)
		select {
		case <-done:
			ended = true
		case <-time.After(pause):
		}
	}
	q.value(t, 2*callers*adds)
}

func sequence(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env, nil), open(t, env, nil)
	s, r := p.sequence(t), q.sequence(t)
	seen := make(map[uint64]bool)
	lastS, lastR := uint64(0), uint64(0)
	for i := range 300 {
		if i%100 == 50 {
			env.Cut(t, p.driver)
			env.Heal(t, p.driver)
		}
		a, b := next(t, s), next(t, r)
		if seen[a] || seen[b] || a == b {
			t.Errorf("%d or %d twice", a, b)
		}
		if seen[a], seen[b] = true, true; a <= lastS || b <= lastR {
			t.Errorf("%d after %d, %d after %d", a, lastS, b, lastR)
		}
		lastS, lastR = a, b
	}
	if !seen[1] {
		t.Error("nobody got 1")
	}
}

func tally(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env, nil), open(t, env, nil)
	a, b := p.tally(t), q.tally(t)
	total(t, a, 0)
	for i := range 200 {
		switch i {
		case 50:
			if err := a.Flush(patient(t)); err != nil {
				t.Error(err)
			}
		case 100:
			env.Mute(t, p.driver)
		}
		a.Add(1)
		b.Add(10)
	}
	flushed := make(chan error)
	go func() { flushed <- a.Flush(patient(t)) }()
	if err := errors.Join(b.Flush(patient(t)), b.Close()); err != nil {
		t.Error(err)
	}
	env.Heal(t, p.driver)
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	total(t, b, 2200)
	if err := errors.Join(a.Flush(patient(t)), a.Close()); err != nil {
		t.Error(err)
	}
	total(t, b, 2200)
}

// restored: the store goes back to a backup while all go on.
func restored(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env, nil), open(t, env, nil)
	s, a := p.sequence(t), p.tally(t)
	p.add(t, 1, 1)
	a.Add(5)
	if err := a.Flush(patient(t)); err != nil {
		t.Error(err)
	}
	last := next(t, s)
	restore := env.Snapshot(t)
	for i := range int64(3) {
		p.add(t, 10, 10*i+11)
	}
	a.Add(7)
	if err := a.Flush(patient(t)); err != nil {
		t.Error(err)
	}
	for range 50 {
		last = next(t, s)
	}
	restore()
	q.add(t, 100, 101)
	p.add(t, 1, 102)
	q.value(t, 102)
	a.Add(2)
	if err := a.Flush(patient(t)); err != nil {
		t.Error(err)
	}
	total(t, a, 7)
	for range 100 {
		n := next(t, s)
		if n <= last {
			t.Errorf("%d after %d", n, last)
		}
		last = n
	}
	if n := next(t, q.sequence(t)); n <= last {
		t.Errorf("another process got %d, and %d was issued", n, last)
	}
}
