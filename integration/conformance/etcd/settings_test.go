package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// TestEtcdSettings walks through the settings, modes and maintenance work of etcd
// that change how clients are served: docs/operations.md has a row for each.
func TestEtcdSettings(t *testing.T) {
	for name, test := range map[string]func(t *testing.T){
		"authentication-switched": authenticationSwitched,
		"authentication-required": authenticationRequired,
		"password-changed":        passwordChanged,
		"max-txn-ops":             maxTxnOps,
		"max-request-bytes":       maxRequestBytes,
		"max-concurrent-streams":  maxConcurrentStreams,
		"auto-compaction":         autoCompaction,
		"defragmentation":         defragmentation,
		"backup":                  backup,
		"leadership-moved":        leadershipMoved,
		"learner":                 learner,
		"corrupt-alarm":           corruptAlarm,
		"certificate-renewed":     certificateRenewed,
		"balancer":                balancer,
		"slow-elections":          slowElections,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// one starts a cluster of one server, where nothing else is said.
func one(t *testing.T, config string) *etcdRig {
	t.Helper()
	return startEtcd(t, cluster.EtcdConfig{Nodes: 1, Config: config})
}

// workTTL outlasts a change of raft's leader where a dozen clusters share two
// processors.
const workTTL = 3 * etcdTTL

// atWork begins work by two processes, each with a client of its own.
func (r *etcdRig) atWork(t *testing.T, config clientv3.Config) *conformance.Work {
	t.Helper()
	if config.Endpoints == nil {
		config.Endpoints = r.cluster.Addrs()
	}
	open := func() driver.Driver {
		d, err := etcd.NewDriver(etcdClient(t, config))
		conformance.Must(t, err)
		return d
	}
	return conformance.Begin(t, etcdNamespace, workTTL, open(), open())
}

func authenticationSwitched(t *testing.T) {
	r := startEtcd(t, cluster.EtcdConfig{Nodes: 1, Config: "bcrypt-cost: 4"})
	w := r.atWork(t, clientv3.Config{Username: "writer", Password: etcdPassword})
	w.Undisturbed(func() { r.protect(t) })
	w.Undisturbed(func() {
		ctx, cancel := conformance.Bounded(t)
		defer cancel()
		root := etcdClient(t, clientv3.Config{Endpoints: r.cluster.Addrs(), Username: etcdRoot, Password: etcdPassword})
		_, err := root.AuthDisable(ctx)
		conformance.Must(t, err)
	})
}

func authenticationRequired(t *testing.T) {
	r := startEtcd(t, cluster.EtcdConfig{Nodes: 1, Config: "bcrypt-cost: 4"})
	r.protect(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	_, err := r.peer(t).driver.Read(ctx, driver.Key(etcdNamespace+"/a"))
	conformance.Denied(t, "a client without a user: Read", err)
}

func passwordChanged(t *testing.T) {
	r := startEtcd(t, cluster.EtcdConfig{Nodes: 1, Config: "bcrypt-cost: 4"})
	r.protect(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	root := etcdClient(t, clientv3.Config{Endpoints: r.cluster.Addrs(), Username: etcdRoot, Password: etcdPassword})
	old := r.peerWith(t, clientv3.Config{Username: "writer", Password: etcdPassword})
	_, err := old.driver.Read(ctx, driver.Key(etcdNamespace+"/a"))
	conformance.Must(t, err)
	_, err = root.UserChangePassword(ctx, "writer", etcdPassword+"2")
	conformance.Must(t, err)
	_, err = old.driver.Read(ctx, driver.Key(etcdNamespace+"/a"))
	conformance.Denied(t, "a client with the old password: Read", err)
	w := r.atWork(t, clientv3.Config{Username: "writer", Password: etcdPassword + "2"})
	w.GoesOn()
}

func maxTxnOps(t *testing.T) {
	r := one(t, "max-txn-ops: 16")
	var txn driver.Txn
	for i := range 20 {
		txn.Ops = append(txn.Ops, driver.Create(fmt.Sprintf("%s/%d", etcdNamespace, i), nil))
	}
	tooLarge(t, r, txn)
	r.atWork(t, clientv3.Config{}).GoesOn()
}

func maxRequestBytes(t *testing.T) {
	r := one(t, "max-request-bytes: 4096")
	tooLarge(t, r, driver.Txn{Ops: []driver.Op{driver.Create(etcdNamespace+"/a", make([]byte, 5000))}})
	r.atWork(t, clientv3.Config{}).GoesOn()
}

func tooLarge(t *testing.T, r *etcdRig, txn driver.Txn) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	if _, err := r.peer(t).driver.Commit(ctx, txn); !errors.Is(err, driver.ErrTooLarge) {
		t.Errorf("Commit = %v, want ErrTooLarge", err)
	}
}

// maxConcurrentStreams: all watches of a client share streams, and calls that find
// none free wait for one.
func maxConcurrentStreams(t *testing.T) {
	r := one(t, "max-concurrent-streams: 4")
	w := r.atWork(t, clientv3.Config{})
	for i := range 50 {
		watch, err := w.Leader.Watch(driver.Key(fmt.Sprintf("watched/%d", i)))
		conformance.Must(t, err)
		t.Cleanup(watch.Close)
	}
	w.Undisturbed(func() {})
}

func autoCompaction(t *testing.T) {
	r := one(t, "auto-compaction-mode: revision\nauto-compaction-retention: \"1\"")
	w := r.atWork(t, clientv3.Config{})
	w.Undisturbed(func() {
		for range 5 {
			ctx, cancel := conformance.Bounded(t)
			reply, err := r.admin.Get(ctx, "a")
			conformance.Must(t, err)
			_, err = r.admin.Compact(ctx, reply.Header.GetRevision(), clientv3.WithCompactPhysical())
			conformance.Must(t, err)
			cancel()
			w.GoesOn()
		}
	})
}

// defragmentation: the server serves nobody while it goes on.
func defragmentation(t *testing.T) {
	r := one(t, "")
	w := r.atWork(t, clientv3.Config{})
	w.Undisturbed(func() {
		ctx, cancel := conformance.Bounded(t)
		defer cancel()
		for range 5 {
			_, err := r.admin.Defragment(ctx, r.cluster.Addrs()[0])
			conformance.Must(t, err)
		}
	})
}

func backup(t *testing.T) {
	r := one(t, "")
	w := r.atWork(t, clientv3.Config{})
	w.Undisturbed(func() {
		ctx, cancel := conformance.Bounded(t)
		defer cancel()
		snapshot, err := r.admin.Snapshot(ctx)
		conformance.Must(t, err)
		_, err = io.Copy(io.Discard, snapshot)
		conformance.Must(t, err)
		conformance.Must(t, snapshot.Close())
	})
}

// leadershipMoved hands raft's leadership around.
func leadershipMoved(t *testing.T) {
	r := startEtcd(t, cluster.EtcdConfig{})
	w := r.atWork(t, clientv3.Config{})
	w.Undisturbed(func() {
		for range 3 {
			ctx, cancel := conformance.Bounded(t)
			leader := r.leader(t)
			other, err := r.cluster.NotLeader(ctx)
			conformance.Must(t, err)
			status, err := r.admin.Status(ctx, other.Addr())
			conformance.Must(t, err)
			client := etcdClient(t, clientv3.Config{Endpoints: []string{leader.Addr()}})
			_, err = client.MoveLeader(ctx, status.Header.GetMemberId())
			conformance.Must(t, err)
			cancel()
			w.GoesOn()
		}
	})
}

// learner: a server that is added as a learner refuses clients until it is
// promoted. The client knows it all the same, and goes to the others.
func learner(t *testing.T) {
	r := startEtcd(t, cluster.EtcdConfig{})
	w := r.atWork(t, clientv3.Config{})
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	node, err := r.cluster.NotLeader(ctx)
	conformance.Must(t, err)
	w.Undisturbed(func() {
		conformance.Must(t, node.Kill())
		conformance.Must(t, node.Wipe())
		conformance.Must(t, cluster.ReadmitAsLearner(ctx, node))
		conformance.Must(t, node.Launch())
		conformance.Eventually(t, "the learner to answer", func(ctx context.Context) error {
			client := etcdClient(t, clientv3.Config{Endpoints: []string{node.Addr()}})
			status, err := client.Status(ctx, node.Addr())
			if err == nil && !status.IsLearner {
				err = errors.New("no learner")
			}
			return err
		})
		for range 20 {
			w.GoesOn()
		}
	})
}

// corruptAlarm: etcd refuses commits while the alarm is on.
func corruptAlarm(t *testing.T) {
	r := one(t, "")
	w := r.atWork(t, clientv3.Config{})
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	status, err := r.admin.Status(ctx, r.cluster.Addrs()[0])
	conformance.Must(t, err)
	id := status.Header.GetMemberId()
	_, err = pb.NewMaintenanceClient(r.admin.ActiveConnection()).Alarm(ctx,
		&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: id, Alarm: pb.AlarmType_CORRUPT})
	conformance.Must(t, err)
	_, err = r.peer(t).driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("corrupt", nil)}})
	if !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, driver.ErrIndeterminate) {
		t.Errorf("Commit = %v, want ErrUnavailable or ErrIndeterminate", err)
	}
	_, err = r.admin.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: id, Alarm: pb.AlarmType_CORRUPT})
	conformance.Must(t, err)
	w.GoesOn()
}

// certificateRenewed: a server reads its certificate anew for each connection.
func certificateRenewed(t *testing.T) {
	ca := newAuthority(t)
	dir := t.TempDir()
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	renew := func() {
		cert, key := ca.issue(t, "server")
		conformance.Must(t, os.WriteFile(certFile, cert, 0o600))
		conformance.Must(t, os.WriteFile(keyFile, key, 0o600))
	}
	renew()
	conformance.Must(t, os.WriteFile(caFile, ca.pem, 0o600))
	r := startEtcd(t, cluster.EtcdConfig{Nodes: 1, TLS: &cluster.ServerTLS{CertFile: certFile, KeyFile: keyFile, ClientCAFile: caFile}})
	proxy, err := cluster.NewProxiesTo(r.cluster.Nodes()[0].SecureAddr())
	conformance.Must(t, err)
	t.Cleanup(proxy.Close)
	w := r.atWork(t, clientv3.Config{Endpoints: []string{"https://" + proxy.Addrs()[0]}, TLS: ca.clientTLS(t, "writer")})
	w.Undisturbed(func() {
		renew()
		proxy.ResetAll()
	})
}

// balancer: one address leads to all servers, each connection to the next of them.
// The client cannot tell them apart, so a connection to a server that fell silent
// is left late.
func balancer(t *testing.T) {
	r := startEtcd(t, cluster.EtcdConfig{})
	w := r.atWork(t, clientv3.Config{Endpoints: []string{conformance.Balance(t, r.cluster.Addrs())}})
	for _, node := range r.cluster.Nodes() {
		ctx, cancel := conformance.Bounded(t)
		conformance.Must(t, node.Kill())
		w.GoesOn()
		conformance.Must(t, node.Start(ctx))
		cancel()
	}
}

// slowElections: a server grants no TTL that is shorter than one and a half
// election timeouts. The session has the longer one, and the bounds are its.
func slowElections(t *testing.T) {
	r := startEtcd(t, cluster.EtcdConfig{Nodes: 1, HeartbeatInterval: 500 * time.Millisecond, ElectionTimeout: 5 * time.Second})
	w := r.atWork(t, clientv3.Config{})
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	session, err := w.Leader.Session(ctx)
	conformance.Must(t, err)
	if session.TTL() < 7*time.Second {
		t.Errorf("the session's TTL is %v", session.TTL())
	}
}
