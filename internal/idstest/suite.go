// Package idstest is the test suite of package ids that runs on every store: the
// scenarios hold for any driver that passes drivertest, whose environment they use.
package idstest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/ids"
	"github.com/quorate/quorate/lock"
)

// Scenario is one test.
type Scenario struct {
	Name string
	Run  func(t *testing.T, env *drivertest.Env)
}

// Scenarios returns all tests.
func Scenarios() []Scenario {
	return []Scenario{
		{"number-changes-hands", changesHands},
		{"lost-replies", lostReplies},
		{"node-is-a-permit", nodeIsAPermit},
	}
}

// Run runs all tests in real time, each in an environment of its own.
func Run(t *testing.T, factory drivertest.Factory) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, factory(t)) })
	}
}

// node is a node number, held as long as a key is there.
type node struct {
	number int
	guard  backend.Guard
	key    string
}

func (n *node) Permit() int              { return n.number }
func (n *node) Context() context.Context { return context.Background() }
func (n *node) Guard() backend.Guard     { return n.guard }

// process is one process's Store, node number and generator.
type process struct {
	*ids.Generator
	store  *backend.Store
	driver driver.Driver
	node   *node
}

func open(t *testing.T, env *drivertest.Env, number int, key string) *process {
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
	if err := p.store.Put(patient(t), key, nil); err != nil {
		t.Fatal(err)
	}
	entry, _, err := p.store.Get(patient(t), key)
	if err != nil {
		t.Fatal(err)
	}
	guard := p.store.NewGuard(1, []backend.Entry{entry}, func(map[string]backend.Entry) bool { return true })
	p.node = &node{number: number, guard: guard, key: key}
	if p.Generator, err = ids.New(p.store, "orders", p.node, &ids.Options{Ahead: time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Generator.Close() })
	return p
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// draw draws n IDs, none of which was seen before.
func (p *process) draw(t *testing.T, seen map[ids.ID]bool, n int) (last ids.ID) {
	t.Helper()
	for range n {
		id, err := p.Next(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		if seen[id] || id <= last || id.Node() != p.node.number {
			t.Fatalf("%d (node %d) after %d; handed out before: %t", id, id.Node(), last, seen[id])
		}
		seen[id], last = true, id
	}
	return last
}

// changesHands: the next holder of a number starts above the time of the last one,
// which does not learn that it has lost the number and is refused in the end.
func changesHands(t *testing.T, env *drivertest.Env) {
	seen := make(map[ids.ID]bool)
	p, other := open(t, env, 5, "holders/1"), open(t, env, 6, "holders/other")
	p.draw(t, seen, 2000)
	other.draw(t, seen, 2000)
	entry, _, err := p.store.Get(patient(t), p.node.key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.store.Commit(patient(t), backend.Txn{Ops: []backend.Op{backend.Delete(p.node.key, entry.Version)}}); err != nil {
		t.Fatal(err)
	}
	q := open(t, env, 5, "holders/2")
	q.draw(t, seen, 2000)
	for deadline := time.Now().Add(30 * time.Second); ; {
		id, err := p.Next(patient(t))
		if errors.Is(err, backend.ErrFenced) {
			break
		}
		if err != nil || seen[id] || time.Now().After(deadline) {
			t.Fatalf("the last holder hands out %d, %v; handed out before: %t", id, err, seen[id])
		}
		seen[id] = true
		q.draw(t, seen, 1)
		time.Sleep(5 * time.Millisecond) // or there would be millions
	}
}

// lostReplies: a reservation in doubt costs no ID and repeats none.
func lostReplies(t *testing.T, env *drivertest.Env) {
	seen := make(map[ids.ID]bool)
	p := open(t, env, 5, "holders/1")
	before := p.draw(t, seen, 100)
	env.Mute(t, p.driver)
	drawn := make(chan ids.ID)
	go func() {
		time.Sleep(time.Second) // what is reserved is used up
		id, err := p.Next(patient(t))
		if err != nil {
			t.Error(err)
		}
		drawn <- id
	}()
	time.Sleep(1500 * time.Millisecond)
	env.Heal(t, p.driver)
	id := <-drawn
	if id <= before || seen[id] {
		t.Errorf("%d after %d", id, before)
	}
	seen[id] = true
	p.draw(t, seen, 100)
}

// nodeIsAPermit: generators whose nodes are permits of one semaphore repeat no ID,
// also when a permit changes hands. A generator ends with its permit.
func nodeIsAPermit(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env, 5, "holders/1"), open(t, env, 6, "holders/2") // for their Stores
	seen := make(map[ids.ID]bool)
	acquire := func(store *backend.Store) (*lock.Held, *process) {
		permits, err := lock.NewSemaphore(store, "nodes", 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		held, err := permits.Acquire(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		generator, err := ids.New(store, "invoices", held, &ids.Options{Ahead: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = generator.Close() })
		return held, &process{Generator: generator, store: store, node: &node{number: held.Permit()}}
	}
	first, a := acquire(p.store)
	second, b := acquire(q.store)
	a.draw(t, seen, 1000)
	b.draw(t, seen, 1000)
	if err := first.Unlock(patient(t)); err != nil {
		t.Fatal(err)
	}
	third, c := acquire(q.store)
	if third.Permit() != first.Permit() || third.Token() <= first.Token() {
		t.Errorf("permit %d with token %d follows permit %d with token %d", third.Permit(), third.Token(), first.Permit(), first.Token())
	}
	c.draw(t, seen, 1000)
	b.draw(t, seen, 1000)
	if id, err := a.Next(patient(t)); !errors.Is(err, lock.ErrUnlocked) {
		t.Errorf("Next after Unlock = %d, %v, want ErrUnlocked", id, err)
	}
	for _, held := range []*lock.Held{second, third} {
		if err := held.Unlock(patient(t)); err != nil {
			t.Error(err)
		}
	}
}
