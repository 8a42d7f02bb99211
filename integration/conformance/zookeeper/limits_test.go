package zookeeper_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// zooStore returns a Store over a peer's driver.
func zooStore(t testing.TB, p *zooPeer, ttl time.Duration) *backend.Store {
	t.Helper()
	store, err := backend.New(p.driver, &backend.Options{Namespace: "test/stores", TTL: ttl, Trace: &backend.Trace{
		SessionRenewFailed: func(f backend.SessionRenewFailed) {
			t.Logf("renewal failed with %v left: %v", f.TrustLeft, f.Err)
		},
	}})
	conformance.Must(t, err)
	t.Cleanup(func() {
		p.proxies.HealReset()
		conformance.Must(t, store.Close())
	})
	return store
}

// zooConnections watches 200 keys and directories in one process, and
// goes on reading, renewing and committing, on a server that allows an address
// the default of 60 connections: a driver has two.
func zooConnections(t *testing.T, rig *zooRig) {
	const targets = 100
	p, other := rig.peer(t), rig.peer(t).driver
	dir := rig.dir(t)
	lease := conformance.MustGrant(t, p.driver, zooTTL)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	watching, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	news := make(chan string, 10*targets)
	for i := range targets {
		for _, target := range []driver.Target{driver.Key(fmt.Sprintf("%s/%d/a", dir, i)), driver.Dir(fmt.Sprintf("%s/%d", dir, i))} {
			all.Go(func() {
				err := p.driver.Watch(watching, target, func(entries []driver.Entry) {
					for _, e := range entries {
						news <- fmt.Sprint(target.Dir, e.Key, string(e.Value))
					}
				})
				if watching.Err() == nil {
					t.Errorf("Watch of %v: %v", target, err)
				}
			})
		}
	}
	await := func(n int) {
		t.Helper()
		seen := make(map[string]bool)
		for len(seen) < n {
			select {
			case s := <-news:
				seen[s] = true
			case <-ctx.Done():
				t.Fatalf("%d changes were seen of %d", len(seen), n)
			}
		}
	}
	for i := range targets {
		conformance.MustApply(t, other, "", driver.Create(fmt.Sprintf("%s/%d/a", dir, i), []byte("1")))
		if i%20 == 0 {
			conformance.Eventually(t, "a renewal", func(ctx context.Context) error { _, err := lease.Renew(ctx); return err })
		}
	}
	await(2 * targets)
	if n := p.proxies.Stats().Connections; n > 2 {
		t.Errorf("%d connections, want 2", n)
	}
	t.Logf("%d watches, a lease: %d connections", 2*targets, p.proxies.Stats().Connections)
}

// zooWatchAgain: a watch that nobody needs any more is taken back at the server,
// and the next one is set again.
func zooWatchAgain(t *testing.T, rig *zooRig) {
	p, other := rig.peer(t), rig.peer(t).driver
	dir := rig.dir(t)
	conformance.MustApply(t, other, "", driver.Create(dir+"/a", nil))
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	for i := range 300 {
		target := []driver.Target{driver.Key(dir + "/a"), driver.Dir(dir), driver.Key(dir + "/absent")}[i%3]
		once, done := context.WithCancel(ctx)
		if err := p.driver.Watch(once, target, func([]driver.Entry) { done() }); !errors.Is(err, context.Canceled) {
			t.Fatalf("Watch: %v", err)
		}
	}
	for {
		var lines []string
		for _, node := range rig.cluster.Nodes() {
			text, err := cluster.FourLetterWord(ctx, node, "wchp")
			conformance.Must(t, err)
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "/"+dir) {
					lines = append(lines, strings.TrimSpace(line))
				}
			}
		}
		if len(lines) == 0 {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("paths watched at the servers: %q, want none", lines)
		}
	}
	value := make(chan string, 10)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- p.driver.Watch(watching, driver.Key(dir+"/a"), func(entries []driver.Entry) { value <- string(entries[0].Value) })
	}()
	if got := <-value; got != "" {
		t.Errorf("the key is %q", got)
	}
	conformance.MustApply(t, other, "", driver.Put(dir+"/a", []byte("1"), conformance.MustRead(t, other, driver.Key(dir+"/a"))[0].Version))
	select {
	case got := <-value:
		if got != "1" {
			t.Errorf("the key is %q", got)
		}
	case <-ctx.Done():
		t.Error("the watch is deaf")
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: %v", err)
	}
}

// zooWatchCost: a change of one key costs a watch of its directory the reading
// of that key, whatever else lies there.
func zooWatchCost(t *testing.T, rig *zooRig) {
	const keys = 50
	p, other := rig.peer(t), rig.peer(t).driver
	dir := rig.dir(t)
	var ops []driver.Op
	for i := range keys {
		ops = append(ops, driver.Create(fmt.Sprintf("%s/%02d", dir, i), make([]byte, 1000)))
	}
	versions := conformance.MustApply(t, other, "", ops...)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	states := make(chan []driver.Entry, 10*keys)
	watching, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- p.driver.Watch(watching, driver.Dir(dir), func(e []driver.Entry) { states <- e }) }()
	<-states
	const changes = 10
	var before int64
	for i := range changes + 1 {
		conformance.MustApply(t, other, "", driver.Put(ops[i].Key, []byte("new"), versions[i]))
		for entries := range states {
			if string(entries[i].Value) == "new" {
				break
			}
		}
		if i == 0 { // a proxy counts what it has delivered a moment later
			before = p.proxies.Stats().ReplyBytes
		}
	}
	if cost := (p.proxies.Stats().ReplyBytes - before) / changes; cost > 1024 {
		t.Errorf("a change costs %d bytes, the directory has %d", cost, keys*1000)
	} else {
		t.Logf("a change costs %d bytes", cost)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: %v", err)
	}
}

// zooMostEphemerals: a session is refused more ephemeral keys than the servers
// can end it with, and can be ended with as many as it is allowed.
func zooMostEphemerals(t *testing.T, rig *zooRig) {
	d, other := rig.peer(t).driver, rig.peer(t).driver
	lease := conformance.MustGrant(t, d, 4*time.Second)
	dir := rig.dir(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	keys := 0
	for full := false; !full; {
		var ops []driver.Op
		for range driver.MaxOps {
			key := fmt.Sprintf("%s/%06d", dir, keys+len(ops))
			ops = append(ops, driver.CreateEphemeral(key+strings.Repeat("k", driver.MaxKeyBytes-len(key)), nil))
		}
		result, err := d.Commit(ctx, driver.Txn{Lease: lease.ID(), Ops: ops})
		switch {
		case errors.Is(err, driver.ErrTooLarge):
			full = true
		case err != nil || !result.Applied:
			t.Fatalf("a commit of %d ephemeral keys after %d = %+v, %v", len(ops), keys, result, err)
		default:
			keys += len(ops)
		}
		if _, err := lease.Renew(ctx); err != nil && !errors.Is(err, driver.ErrNotCounted) {
			t.Fatal(err)
		}
	}
	t.Logf("%d keys, %d KiB of paths", keys, keys*(driver.MaxKeyBytes+5)>>10)
	conformance.Must(t, lease.Revoke(ctx))
	if left := conformance.MustRead(t, other, driver.Dir(dir)); len(left) != 0 {
		t.Errorf("%d keys are left", len(left))
	}
	rig.ready(t)
}
