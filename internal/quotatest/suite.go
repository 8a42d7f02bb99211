// Package quotatest is the test suite of package quota that runs on every store:
// the scenarios hold for any driver that passes drivertest, whose environment they
// use.
package quotatest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/quota"
)

// Scenario is one test.
type Scenario struct {
	Name string
	Run  func(t *testing.T, env *drivertest.Env)
}

// Scenarios returns all tests.
func Scenarios() []Scenario {
	return []Scenario{
		{"shared", shared},
		{"lost-replies", lostReplies},
		{"deleted-while-used", deleted},
	}
}

// Run runs all tests in real time, each in an environment of its own.
func Run(t *testing.T, factory drivertest.Factory) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, factory(t)) })
	}
}

const (
	patience = 30 * time.Second
	// aeon is a window that does not end while a test runs.
	aeon = 24 * 365 * 100 * time.Hour
)

// process is one process's Store and quota.
type process struct {
	*quota.Quota
	store  *backend.Store
	driver driver.Driver
}

func open(t testing.TB, env *drivertest.Env, limit, share int64) *process {
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
	if p.Quota, err = quota.New(p.store, "q", limit, aeon, &quota.Options{MaxShare: share}); err != nil {
		t.Fatal(err)
	}
	return p
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// drain takes one unit after the other until one is refused, and returns how many
// were granted.
func (p *process) drain(t testing.TB) (granted int64) {
	t.Helper()
	for {
		ok, err := p.Take(patient(t), 1)
		if err != nil {
			t.Errorf("Take = %v", err)
		}
		if err != nil || !ok {
			return granted
		}
		granted++
	}
}

// together drains the quota by several processes at once.
func together(t testing.TB, processes ...*process) (granted int64) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, p := range processes {
		for range 2 {
			all.Go(func() {
				n := p.drain(t)
				mu.Lock()
				defer mu.Unlock()
				granted += n
			})
		}
	}
	all.Wait()
	return granted
}

// shared: processes at once are granted the limit together, with shares and
// without.
func shared(t *testing.T, env *drivertest.Env) {
	const limit = 60
	p, q, r := open(t, env, limit, 0), open(t, env, limit, 0), open(t, env, limit, 1)
	if n := together(t, p, q, r); n != limit {
		t.Errorf("%d units were granted, want %d: all processes ask until they are refused", n, limit)
	}
	if n := open(t, env, limit, 0).drain(t); n != 0 {
		t.Errorf("a process that comes later is granted %d", n)
	}
}

// lostReplies: units whose reservation is in doubt are not granted twice.
func lostReplies(t *testing.T, env *drivertest.Env) {
	const limit = 20
	p, q := open(t, env, limit, 1), open(t, env, limit, 1)
	granted := int64(0)
	for range 3 {
		env.Mute(t, p.driver)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if ok, err := p.Take(patient(t), 1); err != nil || !ok {
				t.Errorf("Take with lost replies = %t, %v", ok, err)
			}
		}()
		for range 2 {
			if ok, err := q.Take(patient(t), 1); err != nil || !ok {
				t.Errorf("Take = %t, %v", ok, err)
			}
		}
		env.Heal(t, p.driver)
		<-done
		granted += 3
	}
	granted += together(t, p, q)
	if granted > limit || granted < limit/2 {
		t.Errorf("%d units were granted, at most %d are allowed", granted, limit)
	}
}

// deleted: a quota that is deleted begins anew, and its key is gone.
func deleted(t *testing.T, env *drivertest.Env) {
	const limit = 10
	p, q := open(t, env, limit, 0), open(t, env, limit, 0)
	if n := p.drain(t); n != limit {
		t.Errorf("%d units were granted, want %d", n, limit)
	}
	if err := q.Delete(patient(t)); err != nil {
		t.Error(err)
	}
	read, err := q.store.Read(patient(t), backend.Dir("quota/q"), backend.Dir("quota"))
	if err != nil || len(read[0]) != 0 || len(read[1]) != 1 {
		t.Errorf("after the deletion there are %v, %v", read, err)
	}
	if n := q.drain(t); n != limit {
		t.Errorf("after the deletion %d units were granted, want %d", n, limit)
	}
}
