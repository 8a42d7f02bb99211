package driver_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// bucket is a server that allows so many requests per second, and ten times as
// many at once when it was idle, as Consul's request_limits do.
type bucket struct {
	mu              sync.Mutex
	rate, tokens    float64
	at              time.Time
	served, refused int
}

func (b *bucket) refuses() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.at.IsZero() {
		b.tokens = 10 * b.rate
	} else {
		b.tokens = min(b.tokens+now.Sub(b.at).Seconds()*b.rate, 10*b.rate)
	}
	b.at = now
	if b.tokens < 1 {
		b.refused++
		return true
	}
	b.tokens--
	b.served++
	return false
}

// TestPacerComesToTheServersRate: Catches requests that go on at full speed
// against a server that refuses them, a rate that stays far below what the
// server allows, and requests that are never served.
func TestPacerComesToTheServersRate(t *testing.T) {
	for _, rate := range []float64{5, 40, 500} {
		synctest.Test(t, func(t *testing.T) {
			server := &bucket{rate: rate}
			var p driver.Pacer
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					for ctx.Err() == nil {
						_ = p.Do(ctx, func() bool {
							time.Sleep(time.Millisecond) // on its way
							return server.refuses()
						})
					}
				})
			}
			all.Wait()
			least := int(rate * 60 / 2)
			if server.served < least || server.refused > server.served/4 {
				t.Errorf("at %v/s: %d served in a minute, want %d; %d refused", rate, server.served, least, server.refused)
			}
			t.Logf("at %v/s: %d served, %d refused", rate, server.served, server.refused)
		})
	}
}

// TestPacersShare: Catches a process that keeps all of a server to itself.
func TestPacersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &bucket{rate: 40}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var all sync.WaitGroup
		var served [2]atomic.Int64
		for i := range served {
			p := new(driver.Pacer)
			for range 20 {
				all.Go(func() {
					time.Sleep(time.Duration(i) * 30 * time.Second) // the second comes late
					for ctx.Err() == nil {
						_ = p.Do(ctx, func() bool {
							time.Sleep(time.Millisecond)
							refused := server.refuses()
							if !refused {
								served[i].Add(1)
							}
							return refused
						})
					}
				})
			}
		}
		all.Wait()
		if second := served[1].Load(); second < 90*40/4 {
			t.Errorf("the second was served %d times in 90 s, the first %d times in 120 s", second, served[0].Load())
		}
	})
}

// TestPacerOrder: Catches calls that all make progress and none ends, and a
// renewal that waits behind them.
func TestPacerOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p driver.Pacer
		_ = p.Do(t.Context(), func() bool { return false })
		p.Urgent(func() bool { return true }) // from now on requests are spaced
		began := time.Now()
		var mu sync.Mutex // guards ended
		var ended []int
		var all sync.WaitGroup
		for i := range 3 {
			ctx := driver.InTurn(t.Context())
			all.Go(func() {
				for range 3 {
					if err := p.Do(ctx, func() bool { return false }); err != nil {
						t.Error(err)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, i)
			})
			synctest.Wait()
		}
		p.Urgent(func() bool {
			if d := time.Since(began); d != 0 {
				t.Errorf("an urgent request waited %v", d)
			}
			return false
		})
		all.Wait()
		if len(ended) != 3 || ended[0] != 0 || ended[1] != 1 || ended[2] != 2 {
			t.Errorf("the calls ended in the order %v", ended)
		}
	})
}

// TestPacerForgets: Catches a driver that stays slow when the load is over, a
// request that outlives its context, and one that is said to be sent.
func TestPacerForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p driver.Pacer
		var rates []float64
		p.Notify(func(rate float64) { rates = append(rates, rate) })
		p.Urgent(func() bool { return true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := p.Do(ctx, func() bool { t.Error("it was sent"); return false })
		if !errors.Is(err, driver.ErrOverloaded) || !errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do = %v", err)
		}
		time.Sleep(time.Minute)
		calm := time.Now()
		for range 1000 {
			_ = p.Do(t.Context(), func() bool { return false })
		}
		if d := time.Since(calm); d > 0 {
			t.Errorf("a minute after the last refusal 1000 requests took %v", d)
		}
		if len(rates) != 2 || rates[0] != 14 || rates[1] != 0 {
			t.Errorf("told the rates %v", rates)
		}
	})
}
