package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/harness"
)

const (
	// stormTTL is what services have, rather than tests.
	stormTTL = 10 * time.Second
	// perAddress is how many clients share an address of 127.0.0.0/8: servers
	// bound the connections of one, ZooKeeper to 60 by default.
	perAddress = 20
)

// stormSize is how many come: as many as a server takes, with a few connections
// each, where it has 100 by default.
func (r *run) stormSize() int {
	if r.rig.Name == "postgres" {
		return 20
	}
	return 300
}

// crowd starts the many, in one process, and waits until each has a session.
func (r *run) crowd(ctx context.Context) (*process, error) {
	n := len(r.all)
	p := &process{number: n, id: "storm", name: fmt.Sprintf("storm.%d", n)}
	p.journal.Path = filepath.Join(r.dir, "journal-"+p.name)
	if err := r.launch(p, task{Addrs: r.cluster.Addrs(), Storm: r.stormSize()}); err != nil {
		return nil, err
	}
	return p, r.gathered(ctx, p, harness.Now())
}

// gathered waits until every one of the crowd has a session, and an answer of
// the store to what it asked after a moment.
func (r *run) gathered(ctx context.Context, p *process, since int64) error {
	size := func() int {
		r.read()
		r.mu.Lock()
		defer r.mu.Unlock()
		if s := r.seen(p); s.served > since {
			return s.crowd
		}
		return 0
	}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		n := size()
		if n == r.stormSize() {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d clients have a session and an answer: %s", n, r.stormSize(), p.Tail(1000))
		}
		if !wait(ctx, 50*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// storm is that process: so many Stores, each of which campaigns in one of
// some elections and counts.
func storm(ctx context.Context, tk task, j *journal) error {
	var with atomic.Int64
	var all sync.WaitGroup
	served := make([]atomic.Int64, tk.Storm) // when each began what was last answered
	errs := make([]error, tk.Storm)
	for i := range tk.Storm {
		addrs := append(tk.Addrs[i%len(tk.Addrs):len(tk.Addrs):len(tk.Addrs)], tk.Addrs[:i%len(tk.Addrs)]...)
		store, err := harness.Stores[tk.Store].OpenFrom(fmt.Sprintf("127.0.1.%d", 1+i/perAddress), addrs, &backend.Options{
			Namespace: "storm", TTL: stormTTL, CloseTimeout: 20 * time.Second,
			Trace: &backend.Trace{
				SessionGranted: func(backend.SessionGranted) { with.Add(1) },
				SessionLost:    func(backend.SessionLost) { with.Add(-1) },
			},
		})
		if err != nil {
			return err
		}
		e, err := election.New(store.Store, fmt.Sprint(i%30), nil)
		if err != nil {
			return err
		}
		n, err := counter.New(store.Store, fmt.Sprint(i%30), nil)
		if err != nil {
			return err
		}
		all.Go(func() {
			for wait(ctx, time.Second+rand.N(time.Second)) {
				began := harness.Now()
				if _, err := n.Value(ctx); err == nil {
					served[i].Store(began)
				}
			}
		})
		all.Go(func() {
			err := e.Run(ctx, func(leading context.Context, _ *election.Leadership) error {
				for wait(leading, time.Second) {
					_, _ = n.Add(leading, 1)
				}
				return nil
			})
			if ctx.Err() != nil {
				err = nil
			}
			errs[i] = errors.Join(err, store.Close())
		})
	}
	for wait(ctx, 100*time.Millisecond) {
		longest := harness.Now()
		for i := range served {
			longest = min(longest, served[i].Load())
		}
		j.write(crowd, shared, uint64(max(with.Load(), 0)), 0, longest)
	}
	all.Wait()
	return errors.Join(errs...)
}
