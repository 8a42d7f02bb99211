package conformance

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/membership"
)

// A process with a hundred elections, in each of which somebody else waits, a
// hundred groups, and a hundred who only watch, stays within the connections
// that the servers allow an address by default.
func TestHundredsEtcd(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{})
	p, q := rig.peer(t), rig.peer(t)
	// One to each server, and the adapter's own to each: there is no limit.
	hundreds(t, p.driver, q.driver, 6, func() int { return p.proxies.Stats().Connections })
}

func TestHundredsConsul(t *testing.T) {
	rig := startConsul(t, cluster.ConsulConfig{})
	// 32 blocking queries at most, 16 calls, and a few for the session. A server
	// allows 200 connections, those that are being closed included.
	var seen transport
	p := rig.peerOn(t, rig.leader(t), nil, func(c *api.Config) {
		seen.RoundTripper = c.Transport
		c.HttpClient = &http.Client{Transport: &seen}
	})
	nodes := rig.cluster.Nodes()
	q := rig.peerOn(t, nodes[(slices.Index(nodes, p.node)+1)%len(nodes)], nil, nil)
	hundreds(t, p.driver, q.driver, 32+16+4, func() int { return int(seen.underWay.Load()) })
	if n := seen.refused.Load(); n > 0 {
		t.Errorf("%d connections were refused", n)
	}
}

// transport counts requests under way, and those that were refused since the
// address had too many connections.
type transport struct {
	http.RoundTripper
	underWay, refused atomic.Int64
}

func (tr *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	tr.underWay.Add(1)
	defer tr.underWay.Add(-1)
	reply, err := tr.RoundTripper.RoundTrip(r)
	if err == nil && reply.StatusCode == http.StatusTooManyRequests {
		tr.refused.Add(1)
	}
	return reply, err
}

func TestHundredsZooKeeper(t *testing.T) {
	rig := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick})
	p, q := rig.peer(t), rig.peer(t)
	hundreds(t, p.driver, q.driver, 2, func() int { return p.proxies.Stats().Connections }) // a server allows 60
}

func hundreds(t *testing.T, d, other driver.Driver, most int, open func() int) {
	const n = 100
	openStore := func(d driver.Driver) *backend.Store {
		s, err := backend.New(d, &backend.Options{Namespace: "hundreds", TTL: 8 * time.Second})
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var peak int
	var counting sync.WaitGroup
	counted, stop := context.WithCancel(ctx)
	defer counting.Wait()
	defer stop()
	counting.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for counted.Err() == nil {
			peak = max(peak, open())
			<-tick.C
		}
	})
	one, two := openStore(d), openStore(other)
	var (
		led, joined, won sync.WaitGroup
		leads            = make([]*election.Leadership, n)
		changed          = make([]chan struct{}, n) // closed when an Observe has seen the other lead
	)
	for i := range n {
		name := fmt.Sprintf("e%02d", i)
		led.Go(func() {
			e, err := election.New(one, name, &election.Options{ID: "one"})
			if err == nil {
				leads[i], err = e.Campaign(ctx)
			}
			if err != nil {
				t.Errorf("Campaign: %v", err)
			}
		})
		joined.Go(func() {
			g, err := membership.New(one, name, nil)
			if err == nil {
				_, err = g.Join(ctx, membership.Member{ID: "one"})
			}
			if err != nil {
				t.Errorf("Join: %v", err)
			}
		})
	}
	led.Wait()
	joined.Wait()
	if t.Failed() {
		return
	}
	var observers sync.WaitGroup
	defer observers.Wait()
	defer cancel()
	for i := range n {
		name := fmt.Sprintf("e%02d", i)
		changed[i] = make(chan struct{})
		e, err := election.New(two, name, &election.Options{ID: "two"})
		must(t, err)
		won.Go(func() {
			if _, err := e.Campaign(ctx); err != nil {
				t.Errorf("the other's Campaign: %v", err)
			}
		})
		observer, err := election.New(one, name, nil)
		must(t, err)
		observers.Go(func() {
			for leader, err := range observer.Observe(ctx) {
				if err == nil && leader.ID == "two" {
					close(changed[i])
					return
				}
			}
		})
	}
	for _, lead := range leads {
		must(t, lead.Resign(ctx))
	}
	won.Wait()
	for _, c := range changed {
		select {
		case <-c:
		case <-ctx.Done():
			t.Fatal("an Observe has not seen who leads now")
		}
	}
	stop()
	counting.Wait()
	if peak > most {
		t.Errorf("up to %d connections, want %d at most", peak, most)
	}
	t.Logf("%d elections, groups and observers: up to %d connections, %d in the end", n, peak, open())
}
