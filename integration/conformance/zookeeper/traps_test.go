package zookeeper_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/zookeeper"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// TestZooKeeperTraps holds what is particular to ZooKeeper, and would break a
// clause if it were not handled.
func TestZooKeeperTraps(t *testing.T) {
	rig := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick})
	for name, trap := range map[string]func(*testing.T, *zooRig){
		"timeout-clamped-by-the-server":          zooClamped,
		"tick-not-told":                          zooTickNotTold,
		"commit-queued-over-an-expiry":           zooQueuedOverExpiry,
		"follower-cut-off-from-its-leader":       zooCutOffFollower,
		"lost-reply-of-an-ephemeral":             zooLostReply,
		"parents-and-nodes-of-others":            zooParents,
		"denial-told-from-conflict":              zooDenialOrConflict,
		"reconnect-costs-no-session":             zooReconnects,
		"silent-server":                          zooSilentServer,
		"not-renewed-but-connected":              zooLapse,
		"full-commit":                            zooFullCommit,
		"two-connections":                        zooConnections,
		"follower-killed-after-a-renewal":        zooFollowerKilled,
		"watching-again-and-again":               zooWatchAgain,
		"directory-watch-reads-what-has-changed": zooWatchCost,
		"most-ephemeral-keys":                    zooMostEphemerals,
		"moved-to-a-server-that-lags":            zooMovesToLagging,
	} {
		t.Run(name, func(t *testing.T) { trap(t, rig) })
	}
}

type zooQuiet struct{}

func (zooQuiet) Printf(string, ...any) {}

// client returns a plain client of the servers, as an operator has one.
func (r *zooRig) client(t testing.TB, servers ...string) *zk.Conn {
	t.Helper()
	if len(servers) == 0 {
		servers = r.cluster.Addrs()
	}
	conn, _, err := zk.Connect(servers, 10*time.Second, zk.WithLogger(zooQuiet{}))
	conformance.Must(t, err)
	t.Cleanup(conn.Close)
	return conn
}

// zooClamped: the servers grant 2 to 20 ticks, whatever a client asks for.
func zooClamped(t *testing.T, rig *zooRig) {
	d := rig.peer(t).driver
	lease := conformance.MustGrant(t, d, 300*time.Millisecond)
	if lease.TTL() != 2*zooTick {
		t.Errorf("a lease of 300ms was granted %v, want the least that the servers allow, %v", lease.TTL(), 2*zooTick)
	}
	if valid, err := lease.Renew(t.Context()); err == nil && valid > 2*zooTick {
		t.Errorf("Renew = %v, more than the TTL", valid)
	}
	conformance.Must(t, lease.Revoke(t.Context()))
	_, err := d.Grant(t.Context(), time.Minute)
	if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "maxSessionTimeout") || !strings.Contains(err.Error(), (20*zooTick).String()) {
		t.Errorf("Grant of a minute = %v; want ErrInvalid that says what would be granted", err)
	}
}

// zooTickNotTold: with the default tick a short timeout leaves nothing that a
// renewal could be credited with.
func zooTickNotTold(t *testing.T, rig *zooRig) {
	d := rig.peerWith(t, zookeeper.Options{}).driver
	if _, err := d.Grant(t.Context(), zooTTL); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "Options.Tick") {
		t.Errorf("Grant of %v with a tick of %v = %v; want ErrInvalid that names Options.Tick", zooTTL, zookeeper.DefaultTick, err)
	}
}

// zooQueuedOverExpiry: the client would open a new session and send it what it
// has queued for the old one.
func zooQueuedOverExpiry(t *testing.T, rig *zooRig) {
	p, other := rig.peer(t), rig.peer(t).driver
	lease := conformance.MustGrant(t, p.driver, zooTTL)
	dir := rig.dir(t)
	conformance.MustApply(t, p.driver, lease.ID(), driver.CreateEphemeral(dir+"/held", nil))
	p.proxies.Cut()
	const n = 20
	answers := make(chan error, n)
	for i := range n {
		go func() {
			ctx, cancel := conformance.Bounded(t)
			defer cancel()
			_, err := p.driver.Commit(ctx, driver.Txn{Lease: lease.ID(), Ops: []driver.Op{
				driver.CreateEphemeral(fmt.Sprintf("%s/%d", dir, i), nil), driver.Create(fmt.Sprintf("%s/%d-persistent", dir, i), nil),
			}})
			answers <- err
		}()
	}
	rig.expire(t, lease.ID())
	p.proxies.HealReset()
	for range n {
		// One that was handed to the connection as it broke is surely unsent,
		// or in doubt.
		err := <-answers
		if !errors.Is(err, driver.ErrSessionLost) && !errors.Is(err, driver.ErrIndeterminate) && !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("a commit queued over an expiry: %v, want ErrSessionLost", err)
		}
	}
	<-lease.Lost()
	if all := conformance.MustRead(t, other, driver.Dir(dir)); len(all) != 0 {
		t.Errorf("it left %v", all)
	}
}

// zooCutOffFollower has a follower whose leader and fellow stand still: it
// goes on answering reads from what it has, until it finds out. Nothing of that may be taken for an answer.
func zooCutOffFollower(t *testing.T, rig *zooRig) {
	rig.ready(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	follower, err := rig.cluster.NotLeader(ctx)
	conformance.Must(t, err)
	p := rig.peer(t)
	lease := conformance.MustGrant(t, p.driver, zooTTL)
	dir := rig.dir(t)
	conformance.MustApply(t, p.driver, lease.ID(), driver.CreateEphemeral(dir+"/a", nil))
	p.pin(t, follower)
	version := conformance.MustRead(t, p.driver, driver.Key(dir+"/a"))[0].Version
	if _, err := lease.Renew(ctx); err != nil {
		t.Fatalf("Renew on the follower: %v", err)
	}
	plain := rig.client(t, follower.Addr())
	_, _, err = plain.Get("/" + dir + "/a")
	conformance.Must(t, err)
	for _, node := range rig.cluster.Nodes() {
		if node != follower {
			conformance.Must(t, node.Pause())
		}
	}
	resume := func() {
		for _, node := range rig.cluster.Nodes() {
			if node != follower {
				_ = node.Resume()
			}
		}
	}
	defer resume()
	short, done := context.WithTimeout(ctx, 700*time.Millisecond)
	defer done()
	type answer struct {
		what string
		err  error
	}
	answers := make(chan answer, 4)
	ask := func(what string, f func() error) { go func() { answers <- answer{what, f()} }() }
	ask("Read", func() error { _, err := p.driver.Read(short, driver.Key(dir+"/a")); return err })
	ask("Commit of a condition", func() error {
		_, err := p.driver.Commit(short, driver.Txn{Unchanged: []driver.Condition{{Key: dir + "/a", Version: version}}})
		return err
	})
	ask("Watch", func() error {
		return p.driver.Watch(short, driver.Key(dir+"/a"), func([]driver.Entry) { t.Error("a watch showed a state without a quorum") })
	})
	ask("Renew", func() error { _, err := lease.Renew(short); return err })
	if _, _, err := plain.Get("/" + dir + "/a"); err != nil {
		t.Errorf("the follower does not answer at all, so nothing is proved: %v", err)
	}
	for range cap(answers) {
		if a := <-answers; !errors.Is(a.err, driver.ErrUnavailable) {
			t.Errorf("%s on a follower that is cut off: %v, want ErrUnavailable", a.what, a.err)
		}
	}
	resume()
	rig.ready(t)
	p.proxies.HealReset()
}

// zooLostReply: the reply to a create is lost. Sent again, it would be refused,
// and its owner would take it for another's.
func zooLostReply(t *testing.T, rig *zooRig) {
	p, other := rig.peer(t), rig.peer(t).driver
	lease := conformance.MustGrant(t, p.driver, 4*time.Second)
	key := rig.dir(t) + "/a"
	p.reach(t)
	p.proxies.Mute()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := p.driver.Commit(ctx, driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral(key, []byte("v"))}})
	if !errors.Is(err, driver.ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a create whose reply was lost: %v, want ErrIndeterminate", err)
	}
	p.proxies.HealReset()
	all := conformance.MustRead(t, other, driver.Key(key))
	if len(all) != 1 || all[0].Lease != lease.ID() || string(all[0].Value) != "v" {
		t.Fatalf("it left %v", all)
	}
	_, err = lease.Renew(t.Context())
	conformance.Must(t, err)
	p.reach(t)
	if again := conformance.MustRead(t, other, driver.Key(key)); len(again) != 1 || again[0].Created != all[0].Created {
		t.Errorf("it was applied again: %v, then %v", all, again)
	}
}

// zooParents: what had to be made for a key to lie in is no key, nor is what
// somebody else has put there.
func zooParents(t *testing.T, rig *zooRig) {
	d := rig.peer(t).driver
	dir := rig.dir(t)
	conformance.MustApply(t, d, "", driver.Create(dir+"/sub/deep/a", nil))
	plain := rig.client(t)
	for _, foreign := range []string{"text", "empty"} {
		data := []byte(nil)
		if foreign == "text" {
			data = []byte("hello")
		}
		_, err := plain.Create("/"+dir+"/"+foreign, data, 0, zk.WorldACL(zk.PermAll))
		conformance.Must(t, err)
	}
	if all := conformance.MustRead(t, d, driver.Dir(dir)); len(all) != 0 {
		t.Errorf("the directory lists %v, want nothing", all)
	}
	for _, name := range []string{"sub", "sub/deep", "text", "empty"} {
		if all := conformance.MustRead(t, d, driver.Key(dir+"/"+name)); len(all) != 0 {
			t.Errorf("%s is a key: %v", name, all)
		}
	}
	result := conformance.MustCommit(t, d, driver.Txn{Ops: []driver.Op{driver.Create(dir+"/text", nil)}})
	if result.Applied || len(result.Current) != 0 || result.Current == nil {
		t.Errorf("a create where somebody else's node is: %+v; want it refused, with nothing there", result)
	}
	conformance.MustApply(t, d, "", driver.Delete(dir+"/sub", driver.Version{})) // no key, so there is nothing to delete
	if all := conformance.MustRead(t, d, driver.Dir(dir+"/sub/deep")); len(all) != 1 {
		t.Errorf("deleting a directory, which is no key, left %v below it", all)
	}
}

// zooDenialOrConflict: both come back from a multi as the error of one of its
// operations.
func zooDenialOrConflict(t *testing.T, rig *zooRig) {
	d := rig.peer(t).driver
	dir := rig.dir(t)
	plain := rig.client(t)
	readOnly := zk.WorldACL(zk.PermRead)
	_, err := plain.Create("/"+dir+"/locked", []byte("=v"), 0, readOnly)
	conformance.Must(t, err)
	_, err = plain.Create("/"+dir+"/closed", nil, 0, readOnly)
	conformance.Must(t, err)
	_, err = plain.Create("/"+dir+"/hidden", []byte("=v"), 0, zk.WorldACL(zk.PermWrite))
	conformance.Must(t, err)
	locked := conformance.MustRead(t, d, driver.Key(dir+"/locked"))[0]
	for what, txn := range map[string]driver.Txn{
		"a put of what may not be written":         {Ops: []driver.Op{driver.Put(locked.Key, nil, locked.Version)}},
		"a create where none may be":               {Ops: []driver.Op{driver.Create(dir+"/closed/a", nil)}},
		"parents where none may be made":           {Ops: []driver.Op{driver.Create(dir+"/closed/b/a", nil)}},
		"a condition on what may not be read":      {Unchanged: []driver.Condition{{Key: dir + "/hidden", Version: locked.Version}}},
		"a put beside others, of what is not ours": {Ops: []driver.Op{driver.Create(dir+"/new", nil), driver.Put(locked.Key, nil, locked.Version)}},
	} {
		_, err := d.Commit(t.Context(), txn)
		conformance.Denied(t, what, err)
	}
	_, err = d.Read(t.Context(), driver.Key(dir+"/hidden"))
	conformance.Denied(t, "Read of what may not be read", err)
	_, err = d.Read(t.Context(), driver.Dir(dir))
	conformance.Denied(t, "Read of a directory with a key that may not be read", err)
	stale := driver.Version{Generation: locked.Version.Generation, Number: locked.Version.Number + 7}
	result, err := d.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create(dir+"/new", nil), driver.Delete(dir+"/none", stale)}})
	if err != nil || result.Applied {
		t.Errorf("a conflict: %+v, %v; want it refused", result, err)
	}
}

// zooReconnects moves a lease from server to server.
func zooReconnects(t *testing.T, rig *zooRig) {
	p, other := rig.peer(t), rig.peer(t).driver
	lease := conformance.MustGrant(t, p.driver, zooTTL)
	key := rig.dir(t) + "/a"
	conformance.MustApply(t, p.driver, lease.ID(), driver.CreateEphemeral(key, nil))
	before := conformance.MustRead(t, other, driver.Key(key))[0]
	for round := range 3 {
		for _, node := range rig.cluster.Nodes() {
			p.proxies.HealReset()
			p.proxies.ResetAll()
			for _, n := range rig.cluster.Nodes() {
				if n != node {
					p.proxies.Node(n.Index()).Cut()
				}
			}
			conformance.Eventually(t, "a renewal on "+node.Name(), func(ctx context.Context) error {
				_, err := lease.Renew(ctx)
				if errors.Is(err, driver.ErrSessionLost) {
					t.Fatalf("round %d: the session was lost on the way to %s: %v", round, node.Name(), err)
				}
				return err
			})
		}
	}
	if now := conformance.MustRead(t, other, driver.Key(key)); len(now) != 1 || now[0].Created != before.Created {
		t.Errorf("the lease's key was %v and is %v", before, now)
	}
}

// zooSilentServer: one server of three lets nothing through. That costs no
// session, whichever it is.
func zooSilentServer(t *testing.T, rig *zooRig) {
	rig.ready(t)
	for i := range rig.cluster.Nodes() {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			p := rig.peer(t)
			store := zooStore(t, p, zooTTL)
			ctx, cancel := conformance.Bounded(t)
			defer cancel()
			session, err := store.Session(ctx)
			conformance.Must(t, err)
			p.proxies.Node(i).Silence()
			select {
			case <-session.Context().Done():
				t.Errorf("the session was lost: %v", context.Cause(session.Context()))
			case <-time.After(2 * zooTTL):
			}
		})
	}
}

// zooLapse: the client's pings would keep a session for ever whose owner has
// stopped renewing it.
func zooLapse(t *testing.T, rig *zooRig) {
	d, other := rig.peer(t).driver, rig.peer(t).driver
	lease := conformance.MustGrant(t, d, zooTTL)
	key := rig.dir(t) + "/a"
	conformance.MustApply(t, d, lease.ID(), driver.CreateEphemeral(key, nil))
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), zooExpiry+2*time.Second)
	defer cancel()
	err := other.Watch(ctx, driver.Key(key), func(entries []driver.Entry) {
		if len(entries) == 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the key was still there %v after the last renewal: %v", time.Since(began), err)
	}
}

// zooFullCommit: our largest commits fit into ZooKeeper's megabyte.
func zooFullCommit(t *testing.T, rig *zooRig) {
	d := rig.peer(t).driver
	lease := conformance.MustGrant(t, d, 4*time.Second)
	dir := rig.dir(t)
	value := make([]byte, driver.MaxTxnBytes/driver.MaxOps-driver.MaxKeyBytes)
	var creates, puts, deletes []driver.Op
	for i := range driver.MaxOps {
		key := fmt.Sprintf("%s/%02d", dir, i)
		key += strings.Repeat("k", driver.MaxKeyBytes-len(key))
		creates = append(creates, driver.CreateEphemeral(key, value))
	}
	versions := conformance.MustApply(t, d, lease.ID(), creates...)
	for i, op := range creates {
		puts = append(puts, driver.Put(op.Key, value, versions[i]))
	}
	versions = conformance.MustApply(t, d, "", puts...)
	for i, op := range creates {
		deletes = append(deletes, driver.Delete(op.Key, versions[i]))
	}
	if n := len(conformance.MustRead(t, d, driver.Dir(dir))); n != driver.MaxOps {
		t.Errorf("%d keys, want %d", n, driver.MaxOps)
	}
	conformance.MustApply(t, d, "", deletes...)
}
