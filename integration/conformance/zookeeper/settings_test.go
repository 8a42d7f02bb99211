package zookeeper_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/zookeeper"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// TestZooKeeperSettings walks through the settings, modes and maintenance work of
// ZooKeeper that change how clients are served: docs/operations.md has a row for
// each.
func TestZooKeeperSettings(t *testing.T) {
	for name, test := range map[string]func(t *testing.T){
		"skipACL":                skipACL,
		"enforce.auth":           enforceAuth,
		"enforceQuota":           enforceQuota,
		"jute.maxbuffer":         juteMaxbuffer,
		"globalOutstandingLimit": globalOutstandingLimit,
		"throttled-connections":  throttledConnections,
		"observer":               observer,
		"read-only-mode":         readOnlyMode,
		"local-sessions":         localSessions,
		"session-timeouts":       sessionTimeouts,
		"snapCount":              snapCount,
		"reconfiguration":        reconfiguration,
		"balancer":               balancer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

const zooNamespace = "quorate"

// one starts an ensemble of one server with Java properties.
func one(t *testing.T, properties map[string]string) *zooRig {
	t.Helper()
	return startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick, Nodes: 1, Properties: properties})
}

// atWork begins work by two processes on servers, all of them by default.
func (r *zooRig) atWork(t *testing.T, options zookeeper.Options, addrs ...string) *conformance.Work {
	t.Helper()
	if addrs == nil {
		addrs = r.cluster.Addrs()
	}
	options.Tick = zooTick
	open := func() driver.Driver {
		d, err := zookeeper.NewDriver(addrs, &options)
		conformance.Must(t, err)
		return d
	}
	return conformance.Begin(t, zooNamespace, zooTTL, open(), open())
}

// admin returns a client of the servers.
func (r *zooRig) admin(t *testing.T) *zk.Conn {
	t.Helper()
	conn, _, err := zk.Connect(r.cluster.Addrs(), zooTTL, zk.WithLogInfo(false), zk.WithLogger(quiet{}))
	conformance.Must(t, err)
	t.Cleanup(conn.Close)
	return conn
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func skipACL(t *testing.T) {
	one(t, map[string]string{"zookeeper.skipACL": "yes"}).atWork(t, zookeeper.Options{}).GoesOn()
}

// enforceAuth: a server ends the session of a client that has not named itself by a
// scheme that it wants.
func enforceAuth(t *testing.T) {
	r := one(t, map[string]string{"zookeeper.enforce.auth.enabled": "true", "zookeeper.enforce.auth.schemes": "digest"})
	r.atWork(t, zookeeper.Options{Auth: []zookeeper.Auth{{Scheme: "digest", Data: []byte("writer:secret")}}}).GoesOn()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := r.peer(t).driver.Read(ctx, driver.Key("a"))
	conformance.Denied(t, "Read without a credential", err)
}

// enforceQuota: commits beyond the quota are refused and wait until there is room.
func enforceQuota(t *testing.T) {
	r := one(t, map[string]string{"zookeeper.enforceQuota": "true"})
	w := r.atWork(t, zookeeper.Options{})
	admin := r.admin(t)
	for _, path := range []string{"/zookeeper/quota/" + zooNamespace, "/zookeeper/quota/" + zooNamespace + "/zookeeper_stats"} {
		_, err := admin.Create(path, []byte("count=0,bytes=0"), 0, zk.WorldACL(zk.PermAll))
		conformance.Must(t, err)
	}
	limits := "/zookeeper/quota/" + zooNamespace + "/zookeeper_limits"
	_, err := admin.Create(limits, []byte("count=1,bytes=-1=;byteHardLimit=-1;countHardLimit=1"), 0, zk.WorldACL(zk.PermAll))
	conformance.Must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = r.peer(t).driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(zooNamespace+"/beyond", nil)}})
	if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrIndeterminate) {
		t.Errorf("Commit beyond the quota = %v, want ErrUnavailable: it was not applied", err)
	}
	conformance.Must(t, admin.Delete(limits, -1))
	w.GoesOn()
}

// juteMaxbuffer: a server closes the connection of a client that sends more.
func juteMaxbuffer(t *testing.T) {
	r := one(t, map[string]string{"jute.maxbuffer": "20000"})
	w := r.atWork(t, zookeeper.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := r.peer(t).driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("large", make([]byte, 30000))}})
	if !errors.Is(err, driver.ErrIndeterminate) && !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Commit of 30,000 bytes = %v, want ErrIndeterminate or ErrUnavailable", err)
	}
	w.GoesOn()
}

func globalOutstandingLimit(t *testing.T) {
	w := one(t, map[string]string{"zookeeper.globalOutstandingLimit": "1"}).atWork(t, zookeeper.Options{})
	w.Undisturbed(func() {})
}

// throttledConnections: a server takes five connections at once and then one every
// 200 ms, and closes the others.
func throttledConnections(t *testing.T) {
	r := one(t, map[string]string{
		"zookeeper.connection_throttle_tokens": "5", "zookeeper.connection_throttle_fill_time": "200",
		"zookeeper.connection_throttle_fill_count": "1",
	})
	w := r.atWork(t, zookeeper.Options{})
	for range 10 {
		r.peer(t)
	}
	w.GoesOn()
}

// observer: clients know nothing but a server that does not vote. They are served
// through it, and by another while it is gone.
func observer(t *testing.T) {
	r := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick, Nodes: 4, Observers: 1})
	nodes := r.cluster.Nodes()
	last := nodes[len(nodes)-1]
	w := r.atWork(t, zookeeper.Options{}, last.Addr())
	w.Undisturbed(func() {})
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	conformance.Must(t, last.Kill())
	conformance.Must(t, last.Start(ctx))
	w.GoesOn()
}

// readOnlyMode: a server that is cut off from the quorum would serve reads to
// clients that ask for it. The driver does not ask.
func readOnlyMode(t *testing.T) {
	r := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick, Properties: map[string]string{"readonlymode.enabled": "true"}})
	w := r.atWork(t, zookeeper.Options{})
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	nodes := r.cluster.Nodes()
	conformance.Must(t, nodes[0].Kill())
	conformance.Must(t, nodes[1].Kill())
	d := r.peer(t).driver
	short, done := context.WithTimeout(ctx, zooTTL)
	_, err := d.Read(short, driver.Key("a"))
	done()
	if err == nil {
		t.Error("a server without a quorum answered a read")
	}
	conformance.Must(t, nodes[0].Start(ctx))
	conformance.Must(t, nodes[1].Start(ctx))
	w.GoesOn()
}

// localSessions: a local session creates no ephemeral nodes unless the servers
// upgrade it.
func localSessions(t *testing.T) {
	t.Run("upgraded", func(t *testing.T) {
		r := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick, Config: "localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true"})
		w := r.atWork(t, zookeeper.Options{})
		w.Undisturbed(func() {})
		for _, node := range r.cluster.Nodes() {
			ctx, cancel := conformance.Bounded(t)
			conformance.Must(t, node.Kill())
			w.GoesOn()
			conformance.Must(t, node.Start(ctx))
			cancel()
		}
	})
	t.Run("not-upgraded", func(t *testing.T) {
		r := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick, Config: "localSessionsEnabled=true"})
		d := r.peer(t).driver
		ctx, cancel := conformance.Bounded(t)
		defer cancel()
		lease, err := d.Grant(ctx, zooTTL)
		if err == nil {
			_, err = d.Commit(ctx, driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral("a", nil)}})
		}
		if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrIndeterminate) {
			t.Errorf("an ephemeral key under a local session: %v, want ErrUnavailable: it was not created", err)
		}
	})
}

func sessionTimeouts(t *testing.T) {
	r := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick, Nodes: 1, MinSessionTimeout: 2 * zooTTL, MaxSessionTimeout: 4 * zooTTL})
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	if _, err := r.peer(t).driver.Grant(ctx, 5*zooTTL); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("Grant of more than the longest = %v, want ErrInvalid", err)
	}
	lease, err := r.peer(t).driver.Grant(ctx, zooTTL)
	conformance.Must(t, err)
	if lease.TTL() != 2*zooTTL {
		t.Errorf("Grant of less than the shortest: a TTL of %v, want %v", lease.TTL(), 2*zooTTL)
	}
}

// snapCount: the server writes a snapshot every 20 transactions.
func snapCount(t *testing.T) {
	w := one(t, map[string]string{"zookeeper.snapCount": "20"}).atWork(t, zookeeper.Options{})
	w.Undisturbed(func() {
		for range 20 {
			w.GoesOn()
		}
	})
}

// reconfiguration takes a server out of a running ensemble.
func reconfiguration(t *testing.T) {
	r := startZooKeeper(t, cluster.ZooKeeperConfig{
		TickTime: zooTick, Config: "reconfigEnabled=true", Properties: map[string]string{"zookeeper.skipACL": "yes"},
	})
	w := r.atWork(t, zookeeper.Options{})
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	node, err := r.cluster.NotLeader(ctx)
	conformance.Must(t, err)
	w.Undisturbed(func() {
		_, err := r.admin(t).IncrementalReconfig(nil, []string{fmt.Sprint(node.Index() + 1)}, -1)
		conformance.Must(t, err)
		for range 10 {
			w.GoesOn()
		}
	})
}

// balancer: one address leads to all servers.
func balancer(t *testing.T) {
	r := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick})
	w := r.atWork(t, zookeeper.Options{}, conformance.Balance(t, r.cluster.Addrs()))
	for _, node := range r.cluster.Nodes() {
		ctx, cancel := conformance.Bounded(t)
		conformance.Must(t, node.Kill())
		w.GoesOn()
		conformance.Must(t, node.Start(ctx))
		cancel()
	}
}
