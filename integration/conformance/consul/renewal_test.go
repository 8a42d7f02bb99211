package consul_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// consulRenewalTTL is long enough for another leader to be elected, and noticed
// by the test, well within it.
const consulRenewalTTL = 4 * time.Second

// consulPromise is what the renewals of one session promised, by the rule that
// one counts only if it began while the last promise held.
type consulPromise struct {
	renew func(ctx context.Context) error
	ttl   time.Duration

	mu       sync.Mutex
	until    time.Time
	answered time.Time // when the last answer came
}

// try renews once and reports whether that counted.
func (p *consulPromise) try(ctx context.Context) bool {
	begin := time.Now()
	p.mu.Lock()
	open := begin.Before(p.until)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, p.ttl)
	defer cancel()
	if p.renew(ctx) != nil || !open {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until, p.answered = begin.Add(p.ttl), time.Now()
	return true
}

// TestConsulPausedLeader renews through a leader that is paused until another
// has led for a while, and then goes on. Renewals wait at it in the meantime,
// and more follow at once. It answers some of them, though the new leader hears
// nothing of it; then the client is cut off. The keys must outlive what was
// promised. A bare renewal, believed for one TTL, runs beside ours.
func TestConsulPausedLeader(t *testing.T) {
	rig := startConsul(t, cluster.ConsulConfig{})
	for _, length := range []time.Duration{consulRenewalTTL * 14 / 10, consulRenewalTTL * 25 / 10} {
		rig.pauseLeader(t, length)
	}
}

func (r *consulRig) pauseLeader(t *testing.T, length time.Duration) {
	t.Helper()
	r.ready(t)
	old := r.leader(t)
	p := r.peerOn(t, old, nil, nil)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	dir := r.dir()
	began := time.Now()
	lease, err := p.driver.Grant(ctx, consulRenewalTTL)
	conformance.Must(t, err)
	bare, _, err := p.client.Session().CreateNoChecks(&api.SessionEntry{
		TTL: consulRenewalTTL.String(), Behavior: api.SessionBehaviorDelete, LockDelay: time.Millisecond,
	}, new(api.WriteOptions).WithContext(ctx))
	conformance.Must(t, err)
	for id, key := range map[string]string{lease.ID(): dir + "/ours", bare: dir + "/bare"} {
		_, err := p.driver.Commit(ctx, driver.Txn{Lease: id, Ops: []driver.Op{driver.CreateEphemeral(key, nil)}})
		conformance.Must(t, err)
	}
	ours := &consulPromise{ttl: consulRenewalTTL, until: began.Add(consulRenewalTTL), renew: func(ctx context.Context) error {
		_, err := lease.Renew(ctx)
		return err
	}}
	theirs := &consulPromise{ttl: consulRenewalTTL, until: began.Add(consulRenewalTTL), renew: func(ctx context.Context) error {
		entry, _, err := p.client.Session().Renew(bare, new(api.WriteOptions).WithContext(ctx))
		if err == nil && entry == nil {
			return errors.New("gone")
		}
		return err
	}}
	if !ours.try(ctx) || !theirs.try(ctx) {
		t.Fatal("a renewal on a cluster that is well did not count")
	}

	paused := time.Now()
	conformance.Must(t, old.Pause())
	var renewals sync.WaitGroup
	var counted [2]int
	over, stop := context.WithCancel(ctx)
	for i, promise := range []*consulPromise{ours, theirs} {
		renewals.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-over.Done():
					return
				case <-tick.C:
					if promise.try(over) {
						counted[i]++
					}
				}
			}
		})
	}
	led := r.leader(t) // another
	elected := time.Since(paused)
	<-time.After(time.Until(paused.Add(length)))
	conformance.Must(t, old.Resume())
	<-time.After(50 * time.Millisecond) // some renewals more, and then silence
	p.proxy.Silence()
	stop()
	renewals.Wait()

	type gone struct{ ours, bare time.Time }
	var when gone
	var watches sync.WaitGroup
	admin := consulClient(t, func(c *api.Config) { c.Address = led.Addr() })
	watches.Go(func() { when.ours = consulGone(t, admin, dir+"/ours") })
	watches.Go(func() { when.bare = consulGone(t, admin, dir+"/bare") })
	watches.Wait()
	if when.ours.Before(ours.until) {
		t.Errorf("the key went %v before the end that a renewal had promised", ours.until.Sub(when.ours))
	}
	t.Logf("paused %v, another led after %v: ours counted %d times and the key outlived the promise by %v; bare ones counted %d times, %v",
		length, elected, counted[0], when.ours.Sub(ours.until), counted[1], when.bare.Sub(theirs.until))
}

// consulGone waits until a key is gone and returns when that was seen.
func consulGone(t testing.TB, client *api.Client, key string) time.Time {
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	var index uint64
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		options := &api.QueryOptions{RequireConsistent: true, WaitIndex: index, WaitTime: time.Second}
		pair, meta, err := client.KV().Get(key, options.WithContext(ctx))
		switch {
		case err == nil && pair == nil:
			return time.Now()
		case err == nil:
			index = meta.LastIndex
		}
		select {
		case <-ctx.Done():
			t.Errorf("%s is still there: %v", key, err)
			return time.Now()
		case <-tick.C:
		}
	}
}
