package zookeeper_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// zooMovesToLagging: a session moves to a server that has still to apply what was
// committed on the session's last connection.
//
// A server finds the request to which a commit is the answer by the session and the
// request's number. If a number came again on the new connection, the server would
// answer with the outcome of the old request: a barrier before its time, and a
// commit that is refused as one that was applied.
func zooMovesToLagging(t *testing.T, rig *zooRig) {
	const keys = 10
	dir := rig.dir(t)
	leader, lagging := rig.leader(t), rig.follower(t)
	p := rig.peer(t)
	lag := rig.slowDown(t, lagging)
	key := func(i int) string { return fmt.Sprintf("%s/%02d", dir, i) }

	p.only(leader)
	lag.begin(t)
	for i := range keys {
		conformance.MustApply(t, p.driver, "", driver.Create(key(i), nil))
		if n := len(conformance.MustRead(t, p.driver, driver.Dir(dir))); n != i+1 {
			t.Fatalf("%d keys after %d commits", n, i+1)
		}
	}
	p.only(lagging)
	lag.lasts(t)
	if n := len(conformance.MustRead(t, p.driver, driver.Dir(dir))); n != keys {
		t.Errorf("a read shows %d keys of %d, behind a barrier on the server that lags", n, keys)
	}

	p.only(leader)
	lag.begin(t)
	p.reach(t)
	for i := range keys {
		conformance.MustApply(t, p.driver, "", driver.Create(key(keys+i), nil))
	}
	p.only(lagging)
	lag.lasts(t)
	for i := range keys {
		conformance.Eventually(t, "a commit on the server that lags", func(ctx context.Context) error {
			result, err := p.driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key(keys+i), nil)}})
			if result.Applied {
				t.Errorf("a create of %s, which is there, was applied", key(keys+i))
			}
			return err
		})
	}
}

// only breaks a peer's connections, and lets it make new ones to one server.
func (p *zooPeer) only(to *cluster.Node) {
	p.proxies.Cut()
	p.proxies.Node(to.Index()).Pass()
}

// follower returns a server that does not lead.
func (r *zooRig) follower(t testing.TB) *cluster.Node {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	node, err := r.cluster.NotLeader(ctx)
	conformance.Must(t, err)
	return node
}

// lag makes a server apply commits late: it has to tell fifty clients of each
// change of a node.
type lag struct {
	there   *zk.Conn // another server
	here    *zk.Conn // the server that lags
	changes int32    // of the node
}

const (
	lagNode     = "/lag"
	lagWatchers = 50
	lagCommits  = 4
	lagChanges  = 1000 // in one commit
)

func (r *zooRig) slowDown(t *testing.T, node *cluster.Node) *lag {
	t.Helper()
	l := &lag{there: r.client(t, r.leader(t).Addr()), here: r.client(t, node.Addr())}
	_, err := l.there.Create(lagNode, nil, 0, zk.WorldACL(zk.PermAll))
	conformance.Must(t, err)
	for range lagWatchers {
		watchForEver(t, node, lagNode)
	}
	return l
}

// watchForEver opens a connection with a watch that stays, and throws away what
// comes.
func watchForEver(t *testing.T, node *cluster.Node, path string) {
	t.Helper()
	conn, err := net.Dial("tcp", node.Addr())
	conformance.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	greeting := binary.BigEndian.AppendUint32(nil, 0)
	greeting = binary.BigEndian.AppendUint64(greeting, 0)
	greeting = binary.BigEndian.AppendUint32(greeting, 60000)
	greeting = binary.BigEndian.AppendUint64(greeting, 0)
	greeting = binary.BigEndian.AppendUint32(greeting, 16)
	_, err = zooSend(conn, append(greeting, make([]byte, 16)...))
	conformance.Must(t, err)
	const addWatch, persistent = 106, 0
	request := binary.BigEndian.AppendUint32(nil, 1)
	request = binary.BigEndian.AppendUint32(request, addWatch)
	request = binary.BigEndian.AppendUint32(request, uint32(len(path)))
	request = binary.BigEndian.AppendUint32(append(request, path...), persistent)
	_, err = zooSend(conn, request)
	conformance.Must(t, err)
	go func() { _, _ = io.Copy(io.Discard, conn) }()
}

// begin returns when the server has work for a second or more.
func (l *lag) begin(t *testing.T) {
	t.Helper()
	ops := make([]any, lagChanges)
	for i := range ops {
		ops[i] = &zk.SetDataRequest{Path: lagNode, Version: -1}
	}
	for range lagCommits {
		_, err := l.there.Multi(ops...)
		conformance.Must(t, err)
		l.changes += lagChanges
	}
}

// lasts fails unless the server still lags.
func (l *lag) lasts(t *testing.T) {
	t.Helper()
	_, stat, err := l.here.Get(lagNode)
	conformance.Must(t, err)
	if t.Logf("the server has applied %d changes of %d", stat.Version, l.changes); stat.Version == l.changes {
		t.Error("the server does not lag")
	}
}
