package refusals

import (
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
)

// TestTokenNotKnown: for a moment a Consul server answers 403 "ACL not found"
// for a valid token, as one does that was just elected. Nothing ends.
func TestTokenNotKnown(t *testing.T) {
	t.Parallel()
	c, err := cluster.StartConsul(cluster.ConsulConfig{Nodes: 1})
	closing(t, c, err)
	ga, gb := openGate(t, c.Addrs()[0]), openGate(t, c.Addrs()[0])
	a := work(t, onConsul(t, consulClient(t, ga.addr, ""), nil), "a")
	a.runs(t, 2)
	b := work(t, onConsul(t, consulClient(t, gb.addr, ""), nil), "b")
	b.runs(t, 1)
	for range 3 {
		time.Sleep(ttl) // as long as all goes well in between
		ga.refusing.Store(true)
		gb.refusing.Store(true)
		time.Sleep(300 * time.Millisecond) // as long as the fault lasts
		ga.refusing.Store(false)
		gb.refusing.Store(false)
		a.serves(t)
		b.serves(t)
	}
	a.lasts(t)
	b.lasts(t)
	if a.led.Load()+b.led.Load() == 0 {
		t.Error("nobody leads")
	}
}

// TestRestartWithAccessControl: all servers of a cluster with access control
// restart. Everything is at work again, and nothing has ended.
func TestRestartWithAccessControl(t *testing.T) {
	eachGuarded(t, 3, func(t *testing.T, store string, g *guarded) {
		a := work(t, g.open(t, "a"), "a")
		a.runs(t, 2)
		b := work(t, g.open(t, "b"), "b")
		b.runs(t, 1)
		must(t, g.cluster.KillAll())
		must(t, g.cluster.StartAll(t.Context()))
		began := time.Now()
		a.serves(t)
		b.serves(t)
		t.Logf("%s: served again after %v", store, time.Since(began))
		a.lasts(t)
		b.lasts(t)
	})
}
