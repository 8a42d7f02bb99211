package faults

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/quorate/quorate/integration/rig"
)

// probe writes to the store all the time, by the store's own client, to tell
// when it can be written to.
type probe struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	writes []int64 // when each succeeded
}

func startProbe(a admin) *probe {
	ctx, cancel := context.WithCancel(context.Background())
	p := &probe{cancel: cancel}
	p.done.Go(func() {
		for i := 0; wait(ctx, 25*time.Millisecond); i++ {
			bound, cancel := context.WithTimeout(ctx, time.Second)
			err := a.write(bound, i)
			cancel()
			if err == nil {
				p.mu.Lock()
				p.writes = append(p.writes, rig.Now())
				p.mu.Unlock()
			}
		}
	})
	return p
}

func (p *probe) stop() {
	p.cancel()
	p.done.Wait()
}

// after waits for the first write that succeeded after a moment, and returns when.
func (p *probe) after(ctx context.Context, moment int64) (int64, error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		p.mu.Lock()
		for i := len(p.writes) - 1; i >= 0 && p.writes[i] > moment; i-- {
			if i == 0 || p.writes[i-1] <= moment {
				p.mu.Unlock()
				return p.writes[i], nil
			}
		}
		p.mu.Unlock()
		if !wait(ctx, 5*time.Millisecond) {
			return 0, context.Cause(ctx)
		}
	}
	return 0, errors.New("no write for a minute")
}

// before returns when the last write before a moment succeeded.
func (p *probe) before(moment int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.writes) - 1; i >= 0; i-- {
		if p.writes[i] <= moment {
			return p.writes[i]
		}
	}
	return 0
}
