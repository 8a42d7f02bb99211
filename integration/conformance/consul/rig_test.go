package consul_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

const (
	// consulTTL needs session_ttl_min below Consul's own 10 s.
	consulTTL = 2 * time.Second
	// consulExpiry: a server's timer is two TTLs, and then the end of the
	// session is a write like any other.
	consulExpiry = 2*consulTTL + 2*time.Second
)

// consulRig is a Consul cluster with the means to disturb it.
type consulRig struct {
	cluster *cluster.Cluster
	token   string
	dirs    atomic.Int64
	next    atomic.Int64

	mu    sync.Mutex
	peers map[driver.Driver]*consulPeer
}

// consulPeer is a driver with a client of its own, and a network to the one
// server that it talks to: the api client knows a single address.
type consulPeer struct {
	driver *consul.Driver
	client *api.Client
	node   *cluster.Node
	proxy  *cluster.Proxy
}

func startConsul(t testing.TB, config cluster.ConsulConfig) *consulRig {
	t.Helper()
	c, err := cluster.StartConsul(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &consulRig{cluster: c, token: config.Token, peers: make(map[driver.Driver]*consulPeer)}
}

// consulClient returns a client with connections of its own, which are closed
// when the test ends.
func consulClient(t testing.TB, change func(*api.Config)) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	if change != nil {
		change(config)
	}
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(config.Transport.CloseIdleConnections)
	return client
}

// admin returns a client to a server that runs, with all permissions.
func (r *consulRig) admin(t testing.TB) *api.Client {
	t.Helper()
	leader := r.leader(t)
	return consulClient(t, func(c *api.Config) { c.Address, c.Token = leader.Addr(), r.token })
}

// peer opens a driver to the next server, with a network of its own; it is
// closed when the test ends.
func (r *consulRig) peer(t testing.TB) *consulPeer {
	nodes := r.cluster.Nodes()
	return r.peerOn(t, nodes[int(r.next.Add(1))%len(nodes)], nil, nil)
}

func (r *consulRig) peerOn(t testing.TB, node *cluster.Node, options *consul.Options, change func(*api.Config)) *consulPeer {
	t.Helper()
	proxy, err := cluster.NewProxy(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	client := consulClient(t, func(c *api.Config) {
		c.Address, c.Token = proxy.Addr(), r.token
		if change != nil {
			change(c)
		}
	})
	d, err := consul.NewDriver(client, options)
	if err != nil {
		t.Fatal(err)
	}
	p := &consulPeer{d, client, node, proxy}
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

func (r *consulRig) of(d driver.Driver) *consulPeer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[d]
}

// dir returns a directory that no other test uses.
func (r *consulRig) dir() string { return fmt.Sprintf("test/%d", r.dirs.Add(1)) }

// env is the environment of a conformance subtest.
func (r *consulRig) env(t testing.TB) *drivertest.Env {
	t.Helper()
	r.ready(t)
	return &drivertest.Env{
		Open:    func(t testing.TB) driver.Driver { return r.peer(t).driver },
		Prefix:  r.dir(),
		TTL:     consulTTL,
		Expiry:  consulExpiry,
		Expire:  func(t testing.TB, lease driver.Lease) { r.expire(t, lease.ID()) },
		Cut:     func(_ testing.TB, d driver.Driver) { r.of(d).proxy.Cut() },
		Silence: func(_ testing.TB, d driver.Driver) { r.of(d).proxy.Silence() },
		Mute:    func(_ testing.TB, d driver.Driver) { r.of(d).proxy.Mute() },
		Heal:    func(_ testing.TB, d driver.Driver) { r.of(d).proxy.HealReset() },
		Depose: func(t testing.TB, d driver.Driver, during func()) {
			r.depose(t, r.of(d), during)
		},
		// Putting a backup back at once changes nothing but what watches hang
		// on: the servers drop the state under them for another.
		Forget:   func(t testing.TB) { conformance.TakeSnapshot(t, r.cluster, false)() },
		Snapshot: func(t testing.TB) func() { return conformance.TakeSnapshot(t, r.cluster, false) },
	}
}

func (r *consulRig) ready(t testing.TB) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	if err := r.cluster.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

func (r *consulRig) leader(t testing.TB) *cluster.Node {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	leader, err := r.cluster.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return leader
}

// expire destroys a session by an operator's hand, which to the keys is the
// same as its TTL.
func (r *consulRig) expire(t testing.TB, id string) {
	t.Helper()
	admin := r.admin(t)
	conformance.Eventually(t, "the end of a session", func(ctx context.Context) error {
		_, err := admin.Session().Destroy(id, new(api.WriteOptions).WithContext(ctx))
		return err
	})
}

// lead makes a server the leader.
func (r *consulRig) lead(t testing.TB, node *cluster.Node) {
	t.Helper()
	conformance.Eventually(t, node.Name()+" to lead", func(ctx context.Context) error {
		leader, err := r.cluster.Leader(ctx)
		if err != nil || leader == node {
			return err
		}
		client := consulClient(t, func(c *api.Config) { c.Address, c.Token = leader.Addr(), r.token })
		raft, err := client.Operator().RaftGetConfiguration(new(api.QueryOptions).WithContext(ctx))
		if err != nil {
			return err
		}
		for _, server := range raft.Servers {
			if server.Node == node.Name() {
				_, err := client.Operator().RaftLeaderTransfer(server.ID, new(api.QueryOptions).WithContext(ctx))
				return errors.Join(err, errors.New("asked it to"))
			}
		}
		return fmt.Errorf("no server %s", node.Name())
	})
}

// depose pauses the leader, which is the server that the peer talks to, until
// another leads. Then it calls during and lets the old leader go on while that
// runs: what has come to it meanwhile it may answer before it hears of the new
// one.
func (r *consulRig) depose(t testing.TB, p *consulPeer, during func()) {
	t.Helper()
	r.lead(t, p.node)
	p.reach(t)
	if err := p.node.Pause(); err != nil {
		t.Fatal(err)
	}
	r.leader(t) // another
	resumed := make(chan error, 1)
	timer := time.AfterFunc(consulTTL/4, func() { resumed <- p.node.Resume() })
	defer timer.Stop()
	during()
	if err := <-resumed; err != nil {
		t.Fatal(err)
	}
	r.ready(t)
}

// reach waits until the peer's driver is answered.
func (p *consulPeer) reach(t testing.TB) {
	t.Helper()
	conformance.Eventually(t, "an answer", func(ctx context.Context) error {
		_, err := p.driver.Read(ctx, driver.Key("test/reach"))
		return err
	})
}
