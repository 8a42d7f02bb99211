package refusals

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/membership"
)

// TestRequestLimits: a Consul server that enforces 40 reads and 20 writes per
// second. On one Store 30 elections and 10 groups start within a minute, beside
// another with a third of that. Few of the requests are refused, and neither
// session is lost.
func TestRequestLimits(t *testing.T) {
	t.Parallel()
	c, err := cluster.StartConsul(cluster.ConsulConfig{Nodes: 1, Config: `limits {
  request_limits { mode = "enforcing" read_rate = 40 write_rate = 20 }
}`})
	closing(t, c, err)
	var stores sync.WaitGroup
	for n, size := range []int{30, 10} {
		g := openGate(t, c.Addrs()[0])
		p := onConsul(t, consulClient(t, g.addr, ""), nil)
		stores.Go(func() { crowd(t, p, g, n, size) })
	}
	stores.Wait()
}

// crowd starts so many elections, and a third as many groups, on one Store.
func crowd(t *testing.T, p *process, g *gate, n, size int) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := p.Session(ctx)
	if err != nil {
		t.Errorf("store %d: %v", n, err)
		return
	}
	began := time.Now()
	var all sync.WaitGroup
	for i := range size {
		all.Go(func() {
			e, err := election.New(p.Store, fmt.Sprintf("e%d-%d", n, i), nil)
			if err == nil {
				_, err = e.Campaign(ctx)
			}
			if err != nil {
				t.Errorf("store %d, election %d: after %v: %v", n, i, time.Since(began), err)
			}
		})
	}
	for i := range (size + 2) / 3 {
		all.Go(func() {
			group, err := membership.New(p.Store, fmt.Sprintf("g%d-%d", n, i), nil)
			if err == nil {
				_, err = group.Join(ctx, membership.Member{ID: "m"})
			}
			if err == nil {
				err = group.WaitSynced(ctx)
			}
			if err != nil {
				t.Errorf("store %d, group %d: after %v: %v", n, i, time.Since(began), err)
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	select {
	case <-session.Context().Done():
	case <-time.After(2 * ttl):
	}
	if !session.Valid() {
		t.Errorf("store %d: the session was lost: %v", n, context.Cause(session.Context()))
	}
	passed, refused := g.passed.Load(), g.overload.Load()
	t.Logf("store %d: all at work after %v; %d requests, %d of them refused", n, took, passed, refused)
	if refused > passed/4 {
		t.Errorf("store %d: %d of %d requests were refused", n, refused, passed)
	}
}
