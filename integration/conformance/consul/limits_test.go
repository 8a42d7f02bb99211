package consul_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// consulWatches is many watches of one driver.
type consulWatches struct {
	mu     sync.Mutex
	values map[string]string
	failed atomic.Int64
	err    error
	end    func()
}

func consulWatchAll(t testing.TB, d driver.Driver, keys []string) *consulWatches {
	w := &consulWatches{values: make(map[string]string)}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	w.end = func() { cancel(); all.Wait() }
	t.Cleanup(w.end)
	for _, key := range keys {
		all.Go(func() {
			err := d.Watch(ctx, driver.Key(key), func(entries []driver.Entry) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.values[key] = ""
				if len(entries) == 1 {
					w.values[key] = string(entries[0].Value)
				}
			})
			if ctx.Err() == nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
				w.failed.Add(1)
			}
		})
	}
	return w
}

// show reports how many keys were read, and how many have the value.
func (w *consulWatches) show(value string) (read, have int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.values {
		if v == value {
			have++
		}
	}
	return len(w.values), have
}

// TestConsulConnections watches more keys in one process than a server allows
// an address connections (200, the default), and goes on reading, renewing and
// committing. Without the bound on blocking queries the same fails.
func TestConsulConnections(t *testing.T) {
	const targets, few = 250, 8
	rig := startConsul(t, cluster.ConsulConfig{})
	p := rig.peerOn(t, rig.leader(t), nil, nil)
	dir := rig.dir()
	var keys []string
	for i := range targets {
		keys = append(keys, fmt.Sprintf("%s/%03d/value", dir, i))
	}
	w := consulWatchAll(t, p.driver, keys)
	conformance.Eventually(t, "all watches to begin", func(context.Context) error {
		if n, _ := w.show(""); n != targets || w.failed.Load() > 0 {
			return fmt.Errorf("%d of %d, %d failed: %w", n, targets, w.failed.Load(), w.err)
		}
		return nil
	})
	lease := conformance.MustGrant(t, p.driver, time.Minute)
	began := time.Now()
	for _, key := range keys {
		conformance.MustApply(t, p.driver, lease.ID(), driver.CreateEphemeral(key, []byte("1")))
	}
	conformance.Eventually(t, "all watches to see the change", func(context.Context) error {
		if _, n := w.show("1"); n != targets {
			return fmt.Errorf("%d of %d", n, targets)
		}
		return nil
	})
	all := time.Since(began)
	began = time.Now()
	last := conformance.MustRead(t, p.driver, driver.Key(keys[targets-1]))[0]
	conformance.MustApply(t, p.driver, "", driver.Put(last.Key, []byte("2"), last.Version))
	conformance.Eventually(t, "one watch to see its change", func(context.Context) error {
		if _, n := w.show("2"); n != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	one := time.Since(began)
	if _, err := lease.Renew(t.Context()); err != nil {
		t.Errorf("Renew: %v", err)
	}
	open := p.proxy.Stats().Connections
	if most := 32 + few; open > most || w.failed.Load() > 0 {
		t.Errorf("%d connections, at most %d are meant to be; %d watches failed: %v", open, most, w.failed.Load(), w.err)
	}
	t.Logf("%d watches over %d connections: %d changes seen by all after %v, one change after %v", targets, open, targets, all, one)
	w.end()

	// The limit is real: one blocking query for each watch runs into it.
	q := rig.peerOn(t, rig.leader(t), &consul.Options{MaxBlockingQueries: 2 * targets}, nil)
	unbounded := consulWatchAll(t, q.driver, keys)
	conformance.Eventually(t, "the server's limit", func(context.Context) error {
		if unbounded.failed.Load() == 0 {
			return errors.New("no watch failed")
		}
		return nil
	})
	unbounded.end()
}

// TestConsulBellCost measures what it takes to serve watches with one blocking
// query: per change in the namespace, requests and bytes.
func TestConsulBellCost(t *testing.T) {
	rig := startConsul(t, cluster.ConsulConfig{})
	for _, targets := range []int{50, 200} {
		p, other := rig.peerOn(t, rig.leader(t), &consul.Options{MaxBlockingQueries: 1}, nil), rig.peer(t).driver
		dir := rig.dir()
		var keys []string
		for i := range targets {
			keys = append(keys, fmt.Sprintf("%s/%03d/value", dir, i))
		}
		versions := make([]driver.Version, targets)
		for i, key := range keys {
			versions[i] = conformance.MustApply(t, other, "", driver.Create(key, []byte("0")))[0]
		}
		w := consulWatchAll(t, p.driver, keys)
		conformance.Eventually(t, "all watches to begin", func(context.Context) error {
			if n, _ := w.show("0"); n != targets {
				return fmt.Errorf("%d of %d", n, targets)
			}
			return nil
		})
		before := p.proxy.Stats()
		const changes = 20
		began := time.Now()
		for i := range changes {
			value := fmt.Sprintf("change-%d", i)
			conformance.MustApply(t, other, "", driver.Put(keys[i], []byte(value), versions[i]))
			conformance.Eventually(t, "a change to be seen", func(context.Context) error {
				if _, n := w.show(value); n != 1 {
					return errors.New("not yet")
				}
				return nil
			})
		}
		after := p.proxy.Stats()
		took := time.Since(began) / changes
		request, reply := (after.RequestBytes-before.RequestBytes)/changes, (after.ReplyBytes-before.ReplyBytes)/changes
		t.Logf("%d watches behind one query: a change is seen after %v and costs %d bytes of requests and %d of replies", targets, took, request, reply)
		if open := after.Connections; open > 4 {
			t.Errorf("%d connections", open)
		}
		w.end()
	}
}
