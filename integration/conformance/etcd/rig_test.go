package etcd_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

const (
	// etcdTTL is longer than the shortest that a server grants (2 s), so that a
	// busy machine does not lose leases by itself.
	etcdTTL = 3 * time.Second
	// etcdExpiry: a leader looks for expired leases every half second, and a
	// new one adds an election timeout to every lease.
	etcdExpiry = etcdTTL + 3*time.Second
)

// etcdRig is an etcd cluster with the means to disturb it.
type etcdRig struct {
	cluster *cluster.Cluster
	admin   *clientv3.Client
	dirs    atomic.Int64

	mu    sync.Mutex
	peers map[driver.Driver]*etcdPeer
}

// etcdPeer is a driver with a client and a network of its own.
type etcdPeer struct {
	driver  *etcd.Driver
	client  *clientv3.Client
	proxies *cluster.Proxies
}

func startEtcd(t testing.TB, config cluster.EtcdConfig) *etcdRig {
	t.Helper()
	c, err := cluster.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &etcdRig{cluster: c, peers: make(map[driver.Driver]*etcdPeer)}
	r.admin = etcdClient(t, clientv3.Config{Endpoints: c.Addrs(), Username: config.Username, Password: config.Password})
	return r
}

// etcdClient returns a client that is closed when the test ends. It has no
// keep-alives of its own unless config says so: the driver must do without.
func etcdClient(t testing.TB, config clientv3.Config) *clientv3.Client {
	t.Helper()
	config.Logger = zap.NewNop()
	client, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// peer opens a driver with a network of its own; it is closed when the test
// ends, unless it was closed before.
func (r *etcdRig) peer(t testing.TB) *etcdPeer { return r.peerWith(t, clientv3.Config{}) }

func (r *etcdRig) peerWith(t testing.TB, config clientv3.Config) *etcdPeer {
	t.Helper()
	proxies, err := cluster.NewProxies(r.cluster)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxies.Close)
	config.Endpoints = proxies.Addrs()
	client := etcdClient(t, config)
	d, err := etcd.NewDriver(client)
	if err != nil {
		t.Fatal(err)
	}
	p := &etcdPeer{d, client, proxies}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers[d] = p
	t.Cleanup(func() {
		r.mu.Lock()
		delete(r.peers, d)
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

func (r *etcdRig) of(d driver.Driver) *etcdPeer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[d]
}

// all returns the peers that are open.
func (r *etcdRig) all() []*etcdPeer {
	r.mu.Lock()
	defer r.mu.Unlock()
	var peers []*etcdPeer
	for _, p := range r.peers {
		peers = append(peers, p)
	}
	return peers
}

// dir returns a directory that no other test uses.
func (r *etcdRig) dir() string { return fmt.Sprintf("test/%d", r.dirs.Add(1)) }

// env is the environment of a conformance subtest.
func (r *etcdRig) env(t testing.TB) *drivertest.Env {
	t.Helper()
	r.ready(t)
	return &drivertest.Env{
		Open:   func(t testing.TB) driver.Driver { return r.peer(t).driver },
		Prefix: r.dir(),
		TTL:    etcdTTL,
		Expiry: etcdExpiry,
		Expire: func(t testing.TB, lease driver.Lease) { r.expire(t, lease) },
		Cut:    func(_ testing.TB, d driver.Driver) { r.of(d).proxies.Cut() },
		Silence: func(_ testing.TB, d driver.Driver) {
			r.of(d).proxies.Silence()
		},
		Mute: func(_ testing.TB, d driver.Driver) { r.of(d).proxies.Mute() },
		Heal: func(_ testing.TB, d driver.Driver) { r.of(d).proxies.HealReset() },
		Depose: func(t testing.TB, d driver.Driver, during func()) {
			r.depose(t, r.of(d), during)
		},
		Forget:   func(t testing.TB) { r.forget(t) },
		Snapshot: func(t testing.TB) func() { return conformance.TakeSnapshot(t, r.cluster, false) },
	}
}

func (r *etcdRig) ready(t testing.TB) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	if err := r.cluster.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

func (r *etcdRig) leader(t testing.TB) *cluster.Node {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	leader, err := r.cluster.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return leader
}

func etcdLeaseID(t testing.TB, lease driver.Lease) clientv3.LeaseID {
	t.Helper()
	id, err := strconv.ParseInt(lease.ID(), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return clientv3.LeaseID(id)
}

// expire revokes a lease by an operator's hand, which to the keys is the same.
func (r *etcdRig) expire(t testing.TB, lease driver.Lease) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	if _, err := r.admin.Revoke(ctx, etcdLeaseID(t, lease)); err != nil {
		t.Fatal(err)
	}
}

// pin leaves a peer with the way to one server only.
func (p *etcdPeer) pin(t testing.TB, to *cluster.Node) {
	t.Helper()
	for i := range p.proxies.Addrs() {
		if i != to.Index() {
			p.proxies.Node(i).Cut()
		}
	}
}

// depose pauses the leader, with the peer pinned to it, until another leads.
// Then it calls during and lets the old leader go on while that runs: what has
// come to it meanwhile it takes in before it hears of the new one.
func (r *etcdRig) depose(t testing.TB, p *etcdPeer, during func()) {
	t.Helper()
	old := r.leader(t)
	p.pin(t, old)
	p.reach(t)
	if err := old.Pause(); err != nil {
		t.Fatal(err)
	}
	r.leader(t) // another
	resumed := make(chan error, 1)
	timer := time.AfterFunc(etcdTTL/6, func() { resumed <- old.Resume() })
	defer timer.Stop()
	during()
	if err := <-resumed; err != nil {
		t.Fatal(err)
	}
	p.proxies.HealReset()
	r.ready(t)
}

// reach waits until the peer's driver is answered.
func (p *etcdPeer) reach(t testing.TB) {
	t.Helper()
	conformance.Eventually(t, "an answer", func(ctx context.Context) error {
		_, err := p.driver.Read(ctx, driver.Key("test/reach"))
		return err
	})
}

// forget compacts all history away while no driver is connected.
func (r *etcdRig) forget(t testing.TB) {
	t.Helper()
	peers := r.all()
	for _, p := range peers {
		p.proxies.Cut()
	}
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	put, err := r.admin.Put(ctx, "test/forget", "")
	if err == nil {
		_, err = r.admin.Compact(ctx, put.Header.GetRevision(), clientv3.WithCompactPhysical())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		p.proxies.HealReset()
	}
}
