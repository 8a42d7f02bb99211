package electiontest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/election"
)

// transferred: a leader hands over to the last in the queue, which passes the
// others; those are served in their order after it. A candidate that does not wait
// is refused, and the leadership continues.
func transferred(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	lead := campaign(t, p.candidate(t, &election.Options{ID: "first"}))
	var won []<-chan *election.Leadership
	for i := range 3 {
		won = append(won, inBackground(t, q.candidate(t, &election.Options{ID: fmt.Sprint("c", i)})))
		p.queued(t, i+2)
	}
	if err := lead.Transfer(t.Context(), "nobody"); !errors.Is(err, election.ErrNoCandidate) || !lead.Valid() {
		t.Fatalf("Transfer to nobody = %v, want ErrNoCandidate; valid: %t", err, lead.Valid())
	}
	if err := lead.Transfer(t.Context(), "c2"); err != nil {
		t.Fatalf("Transfer: %v", err)
	}
	if cause := context.Cause(lead.Context()); !errors.Is(cause, election.ErrResigned) {
		t.Errorf("the cause of its end is %v, want ErrResigned", cause)
	}
	last := lead.Term()
	for _, i := range []int{2, 0, 1} {
		next := within(t, env.TTL, fmt.Sprintf("the leadership of c%d", i), won[i])
		if next.Term() <= last {
			t.Errorf("term %d after %d", next.Term(), last)
		}
		last = next.Term()
		resign(t, next)
	}
	p.nothingLeft(t, env.TTL)
}

// transferredFromRun: Run gives up the office once the body has returned, the named
// candidate leads, and Run campaigns again.
func transferredFromRun(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	leads := make(chan *election.Leadership)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var running atomic.Bool
	go func() {
		ended <- p.candidate(t, &election.Options{ID: "first"}).Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
			running.Store(true)
			defer running.Store(false)
			leads <- lead
			<-ctx.Done()
			return nil
		})
	}()
	lead := within(t, env.TTL, "the first leadership", leads)
	won := inBackground(t, q.candidate(t, &election.Options{ID: "second"}))
	p.queued(t, 2)
	if err := lead.Transfer(t.Context(), "second"); err != nil {
		t.Fatalf("Transfer: %v", err)
	}
	second := within(t, env.TTL, "the second's leadership", won)
	if running.Load() {
		t.Error("the body runs while another leads")
	}
	resign(t, second)
	if again := within(t, env.TTL, "the first's next leadership", leads); again.Term() <= second.Term() {
		t.Errorf("term %d after %d", again.Term(), second.Term())
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}

// preferred: a leader with a lower priority steps down for a candidate with a higher
// one, which passes those that wait. A priority may change while a candidate waits.
func preferred(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	settle := env.TTL / 2
	options := func(id string, priority int) *election.Options {
		return &election.Options{ID: id, Priority: priority, Settle: settle}
	}
	low := campaign(t, p.candidate(t, options("low", 0)))
	also := inBackground(t, p.candidate(t, options("also-low", 0)))
	p.queued(t, 2)
	high := inBackground(t, q.candidate(t, options("high", 2)))
	within(t, env.TTL, "the end of the lower leadership", low.Context().Done())
	if cause := context.Cause(low.Context()); !errors.Is(cause, election.ErrResigned) {
		t.Errorf("the cause of its end is %v, want ErrResigned", cause)
	}
	resign(t, low)
	first := within(t, env.TTL, "the leadership with the higher priority", high)

	later := q.candidate(t, options("later", 0))
	won := inBackground(t, later)
	p.queued(t, 3)
	later.SetPriority(1)
	eventually(t, env.TTL, "the new priority", func() error {
		status, err := later.Status(t.Context())
		if err == nil && (len(status.Queue) != 2 || status.Queue[0].ID != "later" || status.Queue[0].Priority != 1) {
			err = fmt.Errorf("the queue is %v", status.Queue)
		}
		return err
	})
	if err := first.Transfer(t.Context(), "also-low"); !errors.Is(err, election.ErrPriorities) || !first.Valid() {
		t.Errorf("Transfer among priorities = %v, want ErrPriorities; valid: %t", err, first.Valid())
	}
	resign(t, first)
	resign(t, within(t, env.TTL, "the leadership of the one that was raised", won))
	resign(t, within(t, env.TTL, "the leadership of the other", also))
	p.nothingLeft(t, env.TTL)
}

// unhealthy: a leader whose process is unhealthy steps down, another leads, and it
// campaigns again when it is healthy.
func unhealthy(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	var sick atomic.Bool
	leads := make(chan *election.Leadership)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	e := p.candidate(t, &election.Options{ID: "first", Healthy: func(context.Context) error {
		if sick.Load() {
			return errors.New("the disk is full")
		}
		return nil
	}})
	go func() {
		ended <- e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
			leads <- lead
			<-ctx.Done()
			return nil
		})
	}()
	lead := within(t, env.TTL, "the first leadership", leads)
	won := inBackground(t, q.candidate(t, &election.Options{ID: "second"}))
	p.queued(t, 2)
	sick.Store(true)
	within(t, env.TTL/4, "the end of the leadership", lead.Context().Done())
	if cause := context.Cause(lead.Context()); !errors.Is(cause, election.ErrUnhealthy) || !errors.Is(cause, election.ErrResigned) {
		t.Errorf("the cause of its end is %v, want ErrUnhealthy", cause)
	}
	second := within(t, env.TTL, "the second's leadership", won)
	p.queued(t, 1)
	sick.Store(false)
	p.queued(t, 2)
	resign(t, second)
	if again := within(t, env.TTL, "the first's next leadership", leads); again.Term() <= second.Term() {
		t.Errorf("term %d after %d", again.Term(), second.Term())
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}
