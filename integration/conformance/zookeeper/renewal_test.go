package zookeeper_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/conformance"
)

// zooHolder is a lease with a key, and what its renewals promised.
type zooHolder struct {
	lease driver.Lease
	key   string

	mu    sync.Mutex
	until time.Time // as ours promise
	bare  time.Time // as an answer would, believed for a timeout
	n     int
}

func (h *zooHolder) renew(ctx context.Context) {
	began := time.Now()
	validFor, err := h.lease.Renew(ctx)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	if until := began.Add(validFor); until.After(h.until) {
		h.until = until
	}
	h.bare = began.Add(h.lease.TTL())
}

// zooFollowerKilled kills a follower under leases that it has just
// answered renewals of, and lets none of them reach another server. What it had
// heard and not yet told the leader is lost with it.
func zooFollowerKilled(t *testing.T, rig *zooRig) {
	const holders = 8
	rig.ready(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	follower, err := rig.cluster.NotLeader(ctx)
	conformance.Must(t, err)
	other, dir := rig.peer(t).driver, rig.dir(t)
	var all []*zooHolder
	var peers []*zooPeer
	for i := range holders {
		p := rig.peer(t)
		p.pin(t, follower)
		h := &zooHolder{key: fmt.Sprintf("%s/%d", dir, i)}
		began := time.Now()
		h.lease = conformance.MustGrant(t, p.driver, zooTTL)
		h.until = began.Add(zooTTL)
		conformance.MustApply(t, p.driver, h.lease.ID(), driver.CreateEphemeral(h.key, nil))
		all, peers = append(all, h), append(peers, p)
	}
	var renewals sync.WaitGroup
	renewing, stop := context.WithCancel(ctx)
	for i, h := range all {
		renewals.Go(func() {
			every := time.NewTicker(time.Duration(100+20*i) * time.Millisecond) // not in step
			defer every.Stop()
			for {
				select {
				case <-renewing.Done():
					return
				case <-every.C:
					h.renew(renewing)
				}
			}
		})
	}
	<-time.After(zooTTL)
	conformance.Must(t, follower.Kill())
	for _, p := range peers {
		p.proxies.Cut()
	}
	stop()
	renewals.Wait()
	var watches sync.WaitGroup
	var mu sync.Mutex
	broken, least := 0, zooExpiry
	for _, h := range all {
		watches.Go(func() {
			gone, done := context.WithCancel(ctx)
			defer done()
			var at time.Time
			_ = other.Watch(gone, driver.Key(h.key), func(entries []driver.Entry) {
				if len(entries) == 0 && at.IsZero() {
					at = time.Now()
					done()
				}
			})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case at.IsZero():
				t.Errorf("%s never went", h.key)
			case at.Before(h.until):
				t.Errorf("%s went %v before the end that a renewal had promised", h.key, h.until.Sub(at))
			}
			if h.n == 0 {
				t.Errorf("%s: no renewal counted", h.key)
			}
			least = min(least, at.Sub(h.until))
			if at.Before(h.bare) {
				broken++
			}
		})
	}
	watches.Wait()
	t.Logf("the keys outlived what was promised by %v at least; of %d renewals believed for a timeout %d would have been broken", least, holders, broken)
	conformance.Must(t, follower.Launch())
	rig.ready(t)
}
