// Package scheduletest is the test suite of package schedule that runs on every
// store: the scenarios hold for any driver that passes drivertest, whose environment
// they use.
package scheduletest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/schedule"
)

// Scenario is one test.
type Scenario struct {
	Name string
	Run  func(t *testing.T, env *drivertest.Env)
}

// Scenarios returns all tests.
func Scenarios() []Scenario {
	return []Scenario{
		{"leader-changes", whoeverLeads},
		{"interrupted-at-most-once", func(t *testing.T, env *drivertest.Env) { interrupted(t, env, false) }},
		{"interrupted-at-least-once", func(t *testing.T, env *drivertest.Env) { interrupted(t, env, true) }},
	}
}

// Run runs all tests in real time, each in an environment of its own.
func Run(t *testing.T, factory drivertest.Factory) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, factory(t)) })
	}
}

const period = 200 * time.Millisecond

// job is one that was begun.
type job struct {
	who  string
	tick schedule.Tick
}

// process runs a schedule until its context ends.
type process struct {
	stop  context.CancelFunc
	ended chan error
}

// start has a process run jobs, which are sent to began. They hold until their
// context ends, or fail at once.
func start(t *testing.T, env *drivertest.Env, who string, atLeastOnce, hold bool, began chan<- job) *process {
	t.Helper()
	store, err := backend.New(env.Open(t), &backend.Options{
		Namespace: env.Prefix, TTL: env.TTL, CallTimeout: 3 * time.Second, CloseTimeout: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	s, err := schedule.New(store, "nightly", schedule.Every(period), &schedule.Options{AtLeastOnce: atLeastOnce})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{ended: make(chan error, 1)}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(t.Context())
	go func() {
		p.ended <- s.Run(ctx, func(ctx context.Context, tick schedule.Tick) error {
			select {
			case began <- job{who: who, tick: tick}:
			case <-ctx.Done():
			}
			if hold {
				<-ctx.Done()
			}
			return errors.New("a job that fails ends nothing")
		})
	}()
	return p
}

func (p *process) halt(t *testing.T) {
	t.Helper()
	p.stop()
	if err := <-p.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}

func next(t *testing.T, began <-chan job) job {
	t.Helper()
	select {
	case j := <-began:
		return j
	case <-time.After(30 * time.Second):
		t.Fatal("no job was begun for 30 s")
		return job{}
	}
}

// whoeverLeads: jobs go on in another process when the one that leads ends, and no
// tick comes twice.
func whoeverLeads(t *testing.T, env *drivertest.Env) {
	began := make(chan job)
	p := start(t, env, "p", false, false, began)
	first := next(t, began)
	q := start(t, env, "q", false, false, began)
	last := first
	for range 3 {
		j := next(t, began)
		if j.who != "p" || !j.tick.Time.After(last.tick.Time) {
			t.Errorf("%s ran %v after %v", j.who, j.tick.Time, last.tick.Time)
		}
		last = j
	}
	p.stop()
	for n := 0; n < 3; {
		j := next(t, began)
		if !j.tick.Time.After(last.tick.Time) || j.tick.Term < last.tick.Term {
			t.Errorf("%s ran %v in term %d after %v in term %d", j.who, j.tick.Time, j.tick.Term, last.tick.Time, last.tick.Term)
		}
		if j.who == "q" {
			n++
		}
		last = j
	}
	p.halt(t)
	q.halt(t)
}

// interrupted: a job whose process ends is run again only where that was asked for.
func interrupted(t *testing.T, env *drivertest.Env, atLeastOnce bool) {
	began := make(chan job)
	p := start(t, env, "p", atLeastOnce, true, began)
	first := next(t, began)
	q := start(t, env, "q", atLeastOnce, false, began)
	p.halt(t)
	second := next(t, began)
	if again := second.tick.Time.Equal(first.tick.Time); again != atLeastOnce || second.tick.Again != again || second.who != "q" {
		t.Errorf("%s ran %v (again: %t) after %v", second.who, second.tick.Time, second.tick.Again, first.tick.Time)
	}
	q.halt(t)
}
