// Package writetest is the test suite of backend.Store's Put and Update that runs on
// every store: the scenarios hold for any driver that passes drivertest, whose
// environment they use.
package writetest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/election"
)

// Scenario is one test.
type Scenario struct {
	Name string
	Run  func(t *testing.T, env *drivertest.Env)
}

// Scenarios returns all tests.
func Scenarios() []Scenario {
	return []Scenario{
		{"put-under-a-leadership", put},
		{"updates-of-several", updates},
	}
}

// Run runs all tests in real time, each in an environment of its own.
func Run(t *testing.T, factory drivertest.Factory) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, factory(t)) })
	}
}

func open(t testing.TB, env *drivertest.Env) *backend.Store {
	t.Helper()
	store, err := backend.New(env.Open(t), &backend.Options{
		Namespace: env.Prefix, TTL: env.TTL, CallTimeout: 3 * time.Second, CloseTimeout: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func has(t testing.TB, store *backend.Store, key, want string) {
	t.Helper()
	if entry, found, err := store.Get(patient(t), key); err != nil || !found || string(entry.Value) != want {
		t.Errorf("%s is %q, %t, %v, want %q", key, entry.Value, found, err, want)
	}
}

// put: a leader writes, and is refused once another may lead, also what is there
// already.
func put(t *testing.T, env *drivertest.Env) {
	store, other := open(t, env), open(t, env)
	e, err := election.New(store, "writer", nil)
	if err != nil {
		t.Fatal(err)
	}
	lead, err := e.Campaign(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"one", "two", "two", ""} {
		if err := store.Put(patient(t), "reports/latest", []byte(value), lead.Guard()); err != nil {
			t.Error(err)
		}
		has(t, other, "reports/latest", value)
	}
	if err := lead.Resign(patient(t)); err != nil {
		t.Error(err)
	}
	next, err := election.New(other, "writer", nil)
	if err != nil {
		t.Fatal(err)
	}
	led, err := next.Campaign(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Put(patient(t), "reports/latest", []byte("three"), led.Guard()); err != nil {
		t.Error(err)
	}
	for _, value := range []string{"four", "three"} {
		err := store.Put(patient(t), "reports/latest", []byte(value), lead.Guard())
		if !errors.Is(err, backend.ErrFenced) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Put of %q under a leadership that is over = %v, want ErrFenced and no doubt", value, err)
		}
	}
	has(t, other, "reports/latest", "three")
	if err := led.Resign(patient(t)); err != nil {
		t.Error(err)
	}
}

// updates: each of several processes' updates is made once.
func updates(t *testing.T, env *drivertest.Env) {
	const processes, each = 3, 5
	var all sync.WaitGroup
	stores := make([]*backend.Store, processes)
	for i := range stores {
		stores[i] = open(t, env)
		all.Go(func() {
			for range each {
				err := stores[i].Update(patient(t), "sum", func(old []byte, _ bool) ([]byte, error) {
					n, _ := strconv.Atoi(string(old)) // 0 at first
					return strconv.AppendInt(nil, int64(n+1), 10), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	has(t, stores[0], "sum", strconv.Itoa(processes*each))
}
