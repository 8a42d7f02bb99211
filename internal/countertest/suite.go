// Package countertest is the test suite of package counter that runs on every
// store: the scenarios hold for any driver that passes drivertest, whose
// environment they use.
package countertest

import (
	"context"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/counter"
)

// Scenario is one test.
type Scenario struct {
	Name string
	Run  func(t *testing.T, env *drivertest.Env)
}

// Scenarios returns all tests.
func Scenarios() []Scenario {
	return []Scenario{
		{"add-and-compare", addAndCompare},
		{"processes-count-together", countTogether},
		{"bounds", bounds},
		{"store-away-at-the-start", awayAtStart},
		{"lost-replies", lostReplies},
		{"given-up-in-silence", givenUpInSilence},
		{"cut-and-healed", cutAndHealed},
		{"sequence", sequence},
		{"tally", tally},
		{"restored", restored},
		{"deleted-while-used", deleted},
	}
}

// Run runs all tests in real time, each in an environment of its own.
func Run(t *testing.T, factory drivertest.Factory) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, factory(t)) })
	}
}

// patience bounds what must come true in the end.
const patience = 30 * time.Second

// process is one process's Store and its Counter.
type process struct {
	*counter.Counter
	store  *backend.Store
	driver driver.Driver
}

func open(t testing.TB, env *drivertest.Env, options *counter.Options) *process {
	t.Helper()
	p := &process{driver: env.Open(t)}
	var err error
	p.store, err = backend.New(p.driver, &backend.Options{
		Namespace: env.Prefix, TTL: env.TTL, CallTimeout: 3 * time.Second, CloseTimeout: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() })
	if p.Counter, err = counter.New(p.store, "c", options); err != nil {
		t.Fatal(err)
	}
	return p
}

// patient returns a context that ends when something takes too long.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (p *process) add(t testing.TB, delta, want int64) {
	t.Helper()
	if got, err := p.Add(patient(t), delta); err != nil || got != want {
		t.Errorf("Add(%d) = %d, %v, want %d", delta, got, err, want)
	}
}

func (p *process) value(t testing.TB, want int64) {
	t.Helper()
	if got, err := p.Value(patient(t)); err != nil || got != want {
		t.Errorf("Value() = %d, %v, want %d", got, err, want)
	}
}

func (p *process) sequence(t testing.TB) *counter.Sequence {
	t.Helper()
	s, err := counter.NewSequence(p.store, "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (p *process) tally(t testing.TB) *counter.Tally {
	t.Helper()
	tally, err := counter.NewTally(p.store, "t", &counter.TallyOptions{Interval: 100 * time.Millisecond, Shards: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tally.Close() })
	return tally
}

func next(t testing.TB, s *counter.Sequence) uint64 {
	t.Helper()
	n, err := s.Next(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func total(t testing.TB, tally *counter.Tally, want int64) {
	t.Helper()
	if got, err := tally.Total(patient(t)); err != nil || got != want {
		t.Errorf("Total() = %d, %v, want %d", got, err, want)
	}
}
