package ids_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/ids"
)

func bubble(t *testing.T, f func(t *testing.T, server *memory.Server)) {
	synctest.Test(t, func(t *testing.T) { f(t, memory.NewServer()) })
}

// node is a node number that is held: a key of a name that never comes again.
type node struct {
	number int
	ctx    context.Context
	lose   context.CancelCauseFunc
	guard  backend.Guard
	key    string
}

func (n *node) Permit() int              { return n.number }
func (n *node) Context() context.Context { return n.ctx }
func (n *node) Guard() backend.Guard     { return n.guard }

// process is one process's Store.
type process struct {
	store  *backend.Store
	faults *faults.Driver
}

func start(t testing.TB, server *memory.Server) *process {
	t.Helper()
	p := &process{faults: faults.Wrap(memory.NewDriver(server))}
	var err error
	if p.store, err = backend.New(p.faults, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() })
	return p
}

var holds struct {
	sync.Mutex
	n int
}

// hold has a process hold a node number. It tries until ctx ends.
func (p *process) hold(ctx context.Context, number int) (*node, error) {
	holds.Lock()
	holds.n++
	key := fmt.Sprintf("holders/%d/%d", number, holds.n)
	holds.Unlock()
	n := &node{number: number, key: key}
	for {
		entry, found, err := p.store.Get(ctx, key)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil && found {
			n.ctx, n.lose = context.WithCancelCause(context.Background())
			n.guard = p.store.NewGuard(1, []backend.Entry{entry}, func(map[string]backend.Entry) bool { return true })
			return n, nil
		}
		_, _ = p.store.Commit(ctx, backend.Txn{Ops: []backend.Op{backend.Create(key, nil)}})
	}
}

func (p *process) generator(t *testing.T, number int) (*ids.Generator, *node) {
	t.Helper()
	n, err := p.hold(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	g, err := ids.New(p.store, "orders", n, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g, n
}

func next(t *testing.T, g *ids.Generator) ids.ID {
	t.Helper()
	id, err := g.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// year is when the tests take place: a bubble's time begins in 2000.
func year(d time.Duration) func() time.Time {
	return func() time.Time { return ids.Epoch.Add(d + time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))) }
}
