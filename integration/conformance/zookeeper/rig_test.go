package zookeeper_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/backend/zookeeper"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

const (
	zooTick = 500 * time.Millisecond
	zooTTL  = 3 * time.Second
	// zooExpiry: the driver keeps the connection for a timeout after the last
	// renewal, the servers the session for a timeout after that, in steps of a
	// tick.
	zooExpiry = 2*zooTTL + 2*zooTick + time.Second
)

// zooRig is a ZooKeeper cluster with the means to disturb it.
type zooRig struct {
	cluster *cluster.Cluster
	dirs    atomic.Int64

	mu        sync.Mutex
	peers     map[driver.Driver]*zooPeer
	passwords map[int64][]byte // of all sessions that were opened, as an eavesdropper has them
}

// zooPeer is a driver with a network of its own to every server.
type zooPeer struct {
	driver  *zookeeper.Driver
	proxies *cluster.Proxies
}

func startZooKeeper(t testing.TB, config cluster.ZooKeeperConfig) *zooRig {
	t.Helper()
	c, err := cluster.StartZooKeeper(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &zooRig{cluster: c, peers: make(map[driver.Driver]*zooPeer), passwords: make(map[int64][]byte)}
}

// peer opens a driver; it is closed when the test ends.
func (r *zooRig) peer(t testing.TB) *zooPeer { return r.peerWith(t, zookeeper.Options{Tick: zooTick}) }

func (r *zooRig) peerWith(t testing.TB, options zookeeper.Options) *zooPeer {
	t.Helper()
	proxies, err := cluster.NewProxies(r.cluster)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxies.Close)
	options.Dial = r.dial
	d, err := zookeeper.NewDriver(proxies.Addrs(), &options)
	if err != nil {
		t.Fatal(err)
	}
	p := &zooPeer{d, proxies}
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

func (r *zooRig) of(d driver.Driver) *zooPeer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[d]
}

// dial connects, and listens to the handshake.
func (r *zooRig) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &zooTap{Conn: conn, rig: r}, nil
}

// zooTap is a connection that is listened to until the session is known.
type zooTap struct {
	net.Conn
	rig   *zooRig
	heard []byte
	done  bool
}

func (c *zooTap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.done || n == 0 {
		return n, err
	}
	c.heard = append(c.heard, p[:n]...)
	if id, password, ok := zooGreeting(c.heard); ok {
		c.done = true
		c.rig.mu.Lock()
		defer c.rig.mu.Unlock()
		c.rig.passwords[id] = password
	}
	return n, err
}

// zooGreeting reads the reply to a connect request, with its length in front.
func zooGreeting(b []byte) (id int64, password []byte, ok bool) {
	const fixed = 4 + 4 + 4 + 8 + 4
	if len(b) < fixed {
		return 0, nil, false
	}
	n := int(binary.BigEndian.Uint32(b[20:]))
	if len(b) < fixed+n {
		return 0, nil, false
	}
	return int64(binary.BigEndian.Uint64(b[12:])), b[fixed : fixed+n], true
}

// zooSend sends a request in a frame and reads the reply's.
func zooSend(conn net.Conn, request []byte) ([]byte, error) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	if _, err := conn.Write(append(frame, request...)); err != nil {
		return nil, err
	}
	reply := make([]byte, 4)
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, err
	}
	reply = append(reply, make([]byte, binary.BigEndian.Uint32(reply))...)
	_, err := io.ReadFull(conn, reply[4:])
	return reply, err
}

// takeOver connects to a server with a session of somebody else's, and reports
// whether it stands.
func (r *zooRig) takeOver(ctx context.Context, node *cluster.Node, id int64) (net.Conn, bool, error) {
	r.mu.Lock()
	password := r.passwords[id]
	r.mu.Unlock()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", node.Addr())
	if err != nil {
		return nil, false, err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	request := binary.BigEndian.AppendUint32(nil, 0)
	request = binary.BigEndian.AppendUint64(request, 0)
	request = binary.BigEndian.AppendUint32(request, uint32(zooTTL.Milliseconds()))
	request = binary.BigEndian.AppendUint64(request, uint64(id))
	request = binary.BigEndian.AppendUint32(request, uint32(len(password)))
	reply, err := zooSend(conn, append(request, password...))
	if err != nil {
		conn.Close()
		return nil, false, err
	}
	got, _, _ := zooGreeting(reply)
	return conn, got == id, nil
}

// expire ends a session by its password on another connection, which to its
// keys and its owner is the same as its timeout.
func (r *zooRig) expire(t testing.TB, lease string) {
	t.Helper()
	var id uint64
	if _, err := fmt.Sscanf(lease, "0x%x", &id); err != nil {
		t.Fatal(err)
	}
	conformance.Eventually(t, "the end of a session", func(ctx context.Context) error {
		leader, err := r.cluster.Leader(ctx)
		if err != nil {
			return err
		}
		conn, stands, err := r.takeOver(ctx, leader, int64(id))
		if err != nil || !stands {
			return err
		}
		defer conn.Close()
		request := binary.BigEndian.AppendUint32(nil, 1<<31-1)          // a number that the owner does not come to
		_, err = zooSend(conn, append(request, 0xff, 0xff, 0xff, 0xf5)) // -11: close the session
		return err
	})
}

// dir returns a directory that no other test uses. It is there: where it must
// be made first, a commit whose replies are lost from the start is not applied.
func (r *zooRig) dir(t testing.TB) string {
	t.Helper()
	dir := fmt.Sprintf("test/%d", r.dirs.Add(1))
	conformance.Eventually(t, "a directory", func(ctx context.Context) error {
		d, err := zookeeper.NewDriver(r.cluster.Addrs(), &zookeeper.Options{Tick: zooTick})
		if err != nil {
			return err
		}
		defer d.Close(ctx)
		if _, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(dir+"/made", nil)}}); err != nil {
			return err
		}
		_, err = d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Delete(dir+"/made", driver.Version{})}})
		return err
	})
	return dir
}

// env is the environment of a conformance subtest.
func (r *zooRig) env(t testing.TB) *drivertest.Env {
	t.Helper()
	r.ready(t)
	return &drivertest.Env{
		Open:    func(t testing.TB) driver.Driver { return r.peer(t).driver },
		Prefix:  r.dir(t),
		TTL:     zooTTL,
		Expiry:  zooExpiry,
		Expire:  func(t testing.TB, lease driver.Lease) { r.expire(t, lease.ID()) },
		Cut:     func(_ testing.TB, d driver.Driver) { r.of(d).proxies.Cut() },
		Silence: func(_ testing.TB, d driver.Driver) { r.of(d).proxies.Silence() },
		Mute:    func(_ testing.TB, d driver.Driver) { r.of(d).proxies.Mute() },
		Heal:    func(_ testing.TB, d driver.Driver) { r.of(d).proxies.HealReset() },
		Depose: func(t testing.TB, d driver.Driver, during func()) {
			r.depose(t, r.of(d), during)
		},
		Forget:   func(t testing.TB) { conformance.TakeSnapshot(t, r.cluster, false)() },
		Snapshot: func(t testing.TB) func() { return conformance.TakeSnapshot(t, r.cluster, false) },
		Owned:    []string{"github.com/go-zookeeper/zk"},
	}
}

func (r *zooRig) ready(t testing.TB) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	if err := r.cluster.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

func (r *zooRig) leader(t testing.TB) *cluster.Node {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	leader, err := r.cluster.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return leader
}

// pin leaves a peer with the way to one server only.
func (p *zooPeer) pin(t testing.TB, to *cluster.Node) {
	t.Helper()
	for i := range p.proxies.Addrs() {
		if i != to.Index() {
			p.proxies.Node(i).Cut()
		}
	}
	p.reach(t)
}

// depose pauses the leader, with the peer pinned to it, until another leads.
// Then it calls during and lets the old leader go on while that runs: what has
// come to it meanwhile it takes in before it finds that nobody follows it.
func (r *zooRig) depose(t testing.TB, p *zooPeer, during func()) {
	t.Helper()
	old := r.leader(t)
	p.pin(t, old)
	if err := old.Pause(); err != nil {
		t.Fatal(err)
	}
	r.leader(t) // another
	resumed := make(chan error, 1)
	timer := time.AfterFunc(zooTTL/6, func() { resumed <- old.Resume() })
	defer timer.Stop()
	during()
	if err := <-resumed; err != nil {
		t.Fatal(err)
	}
	p.proxies.HealReset()
	r.ready(t)
}

// reach waits until the peer's driver is answered.
func (p *zooPeer) reach(t testing.TB) {
	t.Helper()
	conformance.Eventually(t, "an answer", func(ctx context.Context) error {
		_, err := p.driver.Read(ctx, driver.Key("test/reach"))
		return err
	})
}
