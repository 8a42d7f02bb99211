package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/office"
)

// health asks Options.Healthy while an Election campaigns and leads.
type health struct {
	election *Election
	probe    func(context.Context) error
	every    time.Duration // between two probes, and how long one may take

	mu      sync.Mutex // guards running
	running *answer    // of the probe under way
}

func newHealth(e *Election, probe func(context.Context) error) *health {
	return &health{election: e, probe: probe, every: e.store.TTL() / 8}
}

// campaign is Office.Campaign. With Options.Healthy it campaigns only while the
// process is healthy, and has a leader step down when it is not.
func (e *Election) campaign(ctx, base context.Context, ended func()) (*office.Tenure, error) {
	if e.health == nil {
		return e.office.Campaign(ctx, base, ended)
	}
	for {
		if err := e.health.await(ctx); err != nil {
			return nil, fmt.Errorf("election %q: %w", e.name, err)
		}
		t, err := e.health.whileHealthy(ctx, func(ctx context.Context) (*office.Tenure, error) {
			return e.office.Campaign(ctx, base, ended)
		})
		if err != nil && ctx.Err() == nil && errors.Is(err, ErrUnhealthy) {
			continue // it has left the queue
		}
		return t, err
	}
}

// await waits until the process is healthy.
func (h *health) await(ctx context.Context) error {
	for reported := false; ; {
		err := h.ask(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			if reported {
				h.election.store.Logger().Info("healthy again, campaigning", "election", h.election.name)
			}
			return nil
		}
		if !reported {
			h.election.store.Logger().Warn("unhealthy, not campaigning", "election", h.election.name, "error", err)
			reported = true
		}
		if err := backend.Sleep(ctx, h.every); err != nil {
			return err
		}
	}
}

// whileHealthy campaigns, and ends the campaign when the process is not healthy
// any more.
func (h *health) whileHealthy(ctx context.Context, campaign func(context.Context) (*office.Tenure, error)) (*office.Tenure, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		if err := h.until(ctx); err != nil {
			cancel(err)
		}
	}()
	t, err := campaign(ctx)
	cancel(nil)
	<-asked
	return t, err
}

// keep has a leader step down when the process is not healthy any more.
func (h *health) keep(ctx context.Context, t *office.Tenure) error {
	err := h.until(ctx)
	if err != nil {
		h.election.store.Logger().Warn("unhealthy, stepping down", "election", h.election.name, "term", t.Number(), "error", err)
	}
	return err
}

// until asks regularly until ctx ends, and then returns nil, or until the process
// is unhealthy.
func (h *health) until(ctx context.Context) error {
	for backend.Sleep(ctx, h.every) == nil {
		if err := h.ask(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// ask returns nil if the process is healthy. A probe that does not return in time
// is left to itself, and no other is begun until it has returned.
func (h *health) ask(ctx context.Context) error {
	answer := h.begin()
	timer := time.NewTimer(h.every)
	defer timer.Stop()
	select {
	case <-answer.done:
		if answer.err != nil {
			return fmt.Errorf("%w: %w", ErrUnhealthy, answer.err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return fmt.Errorf("%w: Options.Healthy has not returned for %v", ErrUnhealthy, h.every)
	}
}

// answer is that of a probe; err is set once done is closed.
type answer struct {
	done chan struct{}
	err  error
}

// begin starts a probe, unless one is running.
func (h *health) begin() *answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running == nil {
		a := &answer{done: make(chan struct{})}
		h.running = a
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), h.every)
			defer cancel()
			err := h.probe(ctx)
			h.mu.Lock()
			defer h.mu.Unlock()
			a.err, h.running = err, nil
			close(a.done)
		}()
	}
	return h.running
}
