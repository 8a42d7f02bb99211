package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// TestEtcdRenewalByDeposedLeader sends renewals to a leader that was paused
// until another had led for a while, just before it goes on. Its answers must
// not count: the new leader knows nothing of them and lets the leases expire.
// The client's own keep-alives beside them show what is at stake.
//
// By then the leases have expired by the paused leader's own clock, so now and
// then it has one revoked as it goes on, though the new leader has prolonged it
// and said so (docs/guarantees.md, early revocation). Such a key goes at once;
// one that nobody prolonged goes when the new leader lets it expire.
func TestEtcdRenewalByDeposedLeader(t *testing.T) {
	const rounds, leases = 3, 24
	rig := startEtcd(t, cluster.EtcdConfig{})
	var total tally
	for range rounds {
		p, dir := rig.peer(t), rig.dir()
		var renewals []*renewal
		for i := range leases {
			renewals = append(renewals, p.renewal(t, fmt.Sprintf("%s/%d", dir, i), i%2 == 0))
		}
		old := rig.leader(t)
		p.pin(t, old)
		p.reach(t)
		conformance.Must(t, old.Pause())
		rig.leader(t) // another; from now it counts the leases down
		<-time.After(etcdTTL * 3 / 4)
		var all sync.WaitGroup
		for _, r := range renewals {
			all.Go(func() { r.renew(t.Context(), p.client) })
		}
		<-time.After(200 * time.Millisecond) // the requests wait at the paused server
		conformance.Must(t, old.Resume())
		resumed := time.Now()
		all.Wait()
		p.proxies.HealReset()
		for _, r := range renewals {
			all.Go(func() { r.gone = rig.goneAt(t, r.key) })
		}
		all.Wait()
		for _, r := range renewals {
			switch total.add(r); {
			case r.ours == nil || r.err != nil || !r.gone.Before(r.until):
			case r.gone.Sub(resumed) < 400*time.Millisecond:
				total.Revoked++
			default:
				t.Errorf("the key went %v before the end that a renewal had promised", r.until.Sub(r.gone))
			}
		}
		rig.ready(t)
	}
	t.Logf("after %d pauses of the leader: %+v", rounds, total)
}

// renewal is one renewal of one lease with one key, by our driver or with the
// client's KeepAliveOnce.
type renewal struct {
	key   string
	ours  driver.Lease
	stock clientv3.LeaseID
	err   error
	until time.Time // promised by success
	gone  time.Time
}

// tally counts what became of renewals. Broken are those that were answered
// though the key did not stay as long.
type tally struct {
	Counted, NotCounted, Failed             int
	Revoked                                 int // of the counted
	StockAnswered, StockBroken, StockFailed int
}

func (p *etcdPeer) renewal(t testing.TB, key string, ours bool) *renewal {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	r := &renewal{key: key}
	if !ours {
		lease, err := p.client.Grant(ctx, int64(etcdTTL/time.Second))
		conformance.Must(t, err)
		_, err = p.client.Put(ctx, key, "", clientv3.WithLease(lease.ID))
		conformance.Must(t, err)
		r.stock = lease.ID
		return r
	}
	lease, err := p.driver.Grant(ctx, etcdTTL)
	conformance.Must(t, err)
	_, err = p.driver.Commit(ctx, driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral(key, nil)}})
	conformance.Must(t, err)
	r.ours = lease
	return r
}

func (r *renewal) renew(ctx context.Context, client *clientv3.Client) {
	ctx, cancel := context.WithTimeout(ctx, etcdTTL)
	defer cancel()
	begin := time.Now()
	validFor := etcdTTL
	if r.ours != nil {
		validFor, r.err = r.ours.Renew(ctx)
	} else {
		_, r.err = client.KeepAliveOnce(ctx, r.stock)
	}
	r.until = begin.Add(validFor)
}

func (c *tally) add(r *renewal) {
	switch {
	case r.ours != nil && r.err == nil:
		c.Counted++
	case r.ours != nil && errors.Is(r.err, driver.ErrNotCounted):
		c.NotCounted++
	case r.ours != nil:
		c.Failed++
	case r.err != nil:
		c.StockFailed++
	default:
		c.StockAnswered++
		if r.gone.Before(r.until) {
			c.StockBroken++
		}
	}
}

// goneAt waits until a key is gone and returns when that was seen.
func (r *etcdRig) goneAt(t testing.TB, key string) time.Time {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	for {
		reply, err := r.admin.Get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if reply.Count == 0 {
			return time.Now()
		}
		for range r.admin.Watch(ctx, key, clientv3.WithRev(reply.Header.GetRevision()+1)) {
			break
		}
	}
}

// TestEtcdBlackHoledEndpoint drops all traffic to one endpoint of three, whose
// connections stay open. That costs no session, whichever it is.
func TestEtcdBlackHoledEndpoint(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{})
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	var sessions []*backend.Session
	for i := range 3 {
		p := rig.peer(t)
		store, err := etcd.New(p.client, &backend.Options{Namespace: rig.dir(), TTL: etcdTTL, Trace: &backend.Trace{
			SessionRenewFailed: func(f backend.SessionRenewFailed) {
				t.Logf("endpoint %d: renewal failed with %v left: %v", i, f.TrustLeft, f.Err)
			},
		}})
		conformance.Must(t, err)
		t.Cleanup(func() { conformance.Must(t, store.Close()) })
		session, err := store.Session(ctx)
		conformance.Must(t, err)
		p.proxies.Node(i).Silence()
		sessions = append(sessions, session)
	}
	<-time.After(3 * etcdTTL)
	for i, session := range sessions {
		if !session.Valid() {
			t.Errorf("endpoint %d: session lost: %v", i, context.Cause(session.Context()))
		}
	}
}
