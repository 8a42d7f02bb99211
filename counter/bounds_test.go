package counter_test

import (
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
)

// An add that would break a bound fails alone.
func TestBounds(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		low, high := int64(-1), int64(10)
		p := start(t, server, &counter.Options{Min: &low, Max: &high})
		q := start(t, server, nil)
		p.add(t, 9, 9)
		outOfRange := func(delta int64) {
			t.Helper()
			if got, err := p.Add(t.Context(), delta); !errors.Is(err, counter.ErrOutOfRange) || got != 0 {
				t.Errorf("Add(%d) = %d, %v, want ErrOutOfRange", delta, got, err)
			}
		}
		outOfRange(2)
		outOfRange(-11)
		p.add(t, 1, 10)
		// A refusal goes by the present value, not by the one last known.
		q.add(t, -5, 5)
		p.add(t, 4, 9)
		q.add(t, 1, 10)
		outOfRange(1)
		if _, err := p.CompareAndSet(t.Context(), 10, 11); !errors.Is(err, counter.ErrOutOfRange) {
			t.Errorf("CompareAndSet above Max = %v", err)
		}
		p.add(t, -10, 0)

		// Of adds that go out together those that fit are applied.
		p.faults.Next(faults.Commit, faults.Fault{Delay: time.Second})
		var wg sync.WaitGroup
		applied, refused := 0, 0
		var mu sync.Mutex
		for range 40 {
			wg.Go(func() {
				_, err := p.Add(t.Context(), 1)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					applied++
				case errors.Is(err, counter.ErrOutOfRange):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if applied != 10 || refused != 30 {
			t.Errorf("%d applied and %d refused of 40 where 10 fit", applied, refused)
		}
		p.value(t, 10)
	})
}

func TestOverflow(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		p.add(t, math.MaxInt64, math.MaxInt64)
		if _, err := p.Add(t.Context(), 1); !errors.Is(err, counter.ErrOutOfRange) {
			t.Errorf("above the highest int64: %v", err)
		}
		p.add(t, -math.MaxInt64, 0)
		p.add(t, math.MinInt64, math.MinInt64)
		if _, err := p.Add(t.Context(), -1); !errors.Is(err, counter.ErrOutOfRange) {
			t.Errorf("below the lowest int64: %v", err)
		}
	})
}

func TestCompareAndSet(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		set := func(p *process, old, next int64, want bool) {
			t.Helper()
			if got, err := p.CompareAndSet(t.Context(), old, next); err != nil || got != want {
				t.Errorf("CompareAndSet(%d, %d) = %t, %v, want %t", old, next, got, err, want)
			}
		}
		set(p, 1, 2, false)
		set(p, 0, 5, true)
		set(q, 5, 7, true)
		set(p, 5, 6, false) // though 5 is what p last saw
		set(p, 7, 7, true)
		p.value(t, 7)
		p.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		set(p, 7, 8, true)
		set(p, 7, 9, false)
	})
}
