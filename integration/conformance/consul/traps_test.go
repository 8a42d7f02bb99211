package consul_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// TestConsulTraps holds what is particular to Consul, and would break a clause
// if it were not handled.
func TestConsulTraps(t *testing.T) {
	rig := startConsul(t, cluster.ConsulConfig{})
	for name, trap := range map[string]func(*testing.T, *consulRig){
		"no-lock-delay":              consulNoLockDelay,
		"lock-delay-of-others":       consulLockDelayOfOthers,
		"full-commit":                consulFullCommit,
		"delete-of-nothing":          consulDeleteOfNothing,
		"folder-of-the-ui":           consulFolder,
		"session-gone-on-renewal":    consulSessionGone,
		"TTL-refused":                consulTTLRefused,
		"node-deregistered":          consulNodeDeregistered,
		"node-of-its-own":            consulOwnNode,
		"node-unknown":               consulNodeUnknown,
		"wiped-and-restored":         consulWiped,
		"lost-reply-of-an-ephemeral": consulLostReply,
	} {
		t.Run(name, func(t *testing.T) { trap(t, rig) })
	}
}

// TestConsulBehindTheBell runs the clauses on watches with drivers that may
// have a single blocking query, so that all watches share it.
func TestConsulBehindTheBell(t *testing.T) {
	rig := startConsul(t, cluster.ConsulConfig{})
	for _, clause := range drivertest.Clauses() {
		if !strings.HasPrefix(clause.Name, "C08") && !strings.HasPrefix(clause.Name, "C10") {
			continue
		}
		t.Run(clause.Name, func(t *testing.T) {
			env := rig.env(t)
			env.Open = func(t testing.TB) driver.Driver {
				nodes := rig.cluster.Nodes()
				node := nodes[int(rig.next.Add(1))%len(nodes)]
				return rig.peerOn(t, node, &consul.Options{MaxBlockingQueries: 1}, nil).driver
			}
			clause.Run(t, env)
		})
	}
}

// consulNoLockDelay: a key whose session ended is free at once. With the
// client's default it is closed to all for 15 s.
func consulNoLockDelay(t *testing.T, rig *consulRig) {
	a, b := rig.peer(t).driver, rig.peer(t).driver
	first, second := conformance.MustGrant(t, a, consulTTL), conformance.MustGrant(t, b, time.Minute)
	key := rig.dir() + "/a"
	conformance.MustApply(t, a, first.ID(), driver.CreateEphemeral(key, nil))
	rig.expire(t, first.ID())
	gone := time.Now()
	conformance.Eventually(t, "the key to be free", func(ctx context.Context) error {
		result, err := b.Commit(ctx, driver.Txn{Lease: second.ID(), Ops: []driver.Op{driver.CreateEphemeral(key, nil)}})
		if err == nil && !result.Applied {
			err = fmt.Errorf("refused: %v", result.Current)
		}
		return err
	})
	if took := time.Since(gone); took > 5*time.Second {
		t.Errorf("the key was free %v after its session had ended", took)
	}
}

// consulLockDelayOfOthers: where another program's session left a lock delay
// on a key, a create is refused, which is neither an error nor a denial.
func consulLockDelayOfOthers(t *testing.T, rig *consulRig) {
	p := rig.peer(t)
	key := rig.dir() + "/a"
	id, _, err := p.client.Session().CreateNoChecks(&api.SessionEntry{Behavior: api.SessionBehaviorDelete}, nil)
	conformance.Must(t, err)
	ok, _, err := p.client.KV().Acquire(&api.KVPair{Key: key, Session: id}, nil)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	rig.expire(t, id)
	lease := conformance.MustGrant(t, p.driver, consulTTL)
	// The delay is the leader's own affair: it is known once the key is gone.
	result := conformance.MustCommit(t, p.driver, driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral(key, nil)}})
	if result.Applied || len(result.Current) != 0 || result.Current == nil {
		t.Errorf("a create within another session's lock delay: %+v; want it refused, with nothing there", result)
	}
}

// consulFullCommit: our largest commits fit into Consul's 128 operations and
// 512 KiB.
func consulFullCommit(t *testing.T, rig *consulRig) {
	d := rig.peer(t).driver
	lease := conformance.MustGrant(t, d, time.Minute)
	dir := rig.dir()
	name := func(kind string, i int) string {
		key := fmt.Sprintf("%s/%s/%02d", dir, kind, i)
		return key + strings.Repeat("k", driver.MaxKeyBytes-len(key))
	}
	value := make([]byte, driver.MaxTxnBytes/driver.MaxOps-driver.MaxKeyBytes)
	for i := range value {
		value[i] = 0xff // base64 makes 4 bytes of 3
	}
	var creates, ephemerals, puts, deletes []driver.Op
	for i := range driver.MaxOps {
		creates = append(creates, driver.Create(name("persistent", i), value))
		ephemerals = append(ephemerals, driver.CreateEphemeral(name("ephemeral", i), value))
	}
	persistent := conformance.MustApply(t, d, "", creates...)
	versions := conformance.MustApply(t, d, lease.ID(), ephemerals...)
	for i := range driver.MaxOps {
		puts = append(puts, driver.Put(name("ephemeral", i), append(value[:len(value)-1:len(value)-1], 0), versions[i]))
		deletes = append(deletes, driver.Delete(name("persistent", i), persistent[i]))
	}
	conformance.MustApply(t, d, "", puts...)
	for _, e := range conformance.MustRead(t, d, driver.Dir(dir+"/ephemeral")) {
		if e.Lease != lease.ID() {
			t.Fatalf("a put took %.40s... from its lease: %q", e.Key, e.Lease)
		}
	}
	conformance.MustApply(t, d, "", deletes...)
	if n := len(conformance.MustRead(t, d, driver.Dir(dir+"/persistent"))); n != 0 {
		t.Errorf("%d keys left", n)
	}
	conformance.Must(t, lease.Revoke(t.Context()))
	if n := len(conformance.MustRead(t, d, driver.Dir(dir+"/ephemeral"))); n != 0 {
		t.Errorf("%d ephemeral keys left", n)
	}
}

// consulDeleteOfNothing: Consul's delete-cas is content to find the key gone,
// and would let the rest of its commit pass.
func consulDeleteOfNothing(t *testing.T, rig *consulRig) {
	d := rig.peer(t).driver
	dir := rig.dir()
	version := conformance.MustApply(t, d, "", driver.Create(dir+"/a", nil))[0]
	conformance.MustApply(t, d, "", driver.Delete(dir+"/a", version))
	result := conformance.MustCommit(t, d, driver.Txn{Ops: []driver.Op{driver.Delete(dir+"/a", version), driver.Create(dir+"/b", nil)}})
	if result.Applied || len(conformance.MustRead(t, d, driver.Dir(dir))) != 0 {
		t.Errorf("a commit that deletes what is gone: %+v; want it refused", result)
	}
	result = conformance.MustCommit(t, d, driver.Txn{Ops: []driver.Op{driver.Put(dir+"/a", nil, driver.Version{Generation: version.Generation})}})
	if result.Applied || len(conformance.MustRead(t, d, driver.Dir(dir))) != 0 {
		t.Errorf("a put on version 0 of what is gone: %+v; want it refused", result)
	}
}

// consulFolder: what Consul's UI calls a folder is a key that ends in a slash.
// It is a parent, so it is never a key of ours.
func consulFolder(t *testing.T, rig *consulRig) {
	p := rig.peer(t)
	dir := rig.dir()
	for _, folder := range []string{dir + "/", dir + "/sub/"} {
		_, err := p.client.KV().Put(&api.KVPair{Key: folder}, nil)
		conformance.Must(t, err)
	}
	conformance.MustApply(t, p.driver, "", driver.Create(dir+"/sub/a", nil), driver.Create(dir+"/b", nil))
	if all := conformance.MustRead(t, p.driver, driver.Dir(dir)); len(all) != 1 || all[0].Key != dir+"/b" {
		t.Errorf("a directory with folders lists %v, want b alone", all)
	}
	if all := conformance.MustRead(t, p.driver, driver.Dir(dir+"/sub")); len(all) != 1 || all[0].Key != dir+"/sub/a" {
		t.Errorf("a folder lists %v, want a alone", all)
	}
}

// consulSessionGone: to a renewal of a session that is gone Consul answers
// 404, of which the client makes a success.
func consulSessionGone(t *testing.T, rig *consulRig) {
	d := rig.peer(t).driver
	lease := conformance.MustGrant(t, d, consulTTL)
	if valid, err := lease.Renew(t.Context()); err != nil || valid != consulTTL {
		t.Errorf("Renew = %v, %v", valid, err)
	}
	rig.expire(t, lease.ID())
	if valid, err := lease.Renew(t.Context()); !errors.Is(err, driver.ErrSessionLost) {
		t.Errorf("Renew of a session that is gone = %v, %v; want ErrSessionLost", valid, err)
	}
	select {
	case <-lease.Lost():
	default:
		t.Error("Lost is not closed")
	}
}

func consulTTLRefused(t *testing.T, rig *consulRig) {
	d := rig.peer(t).driver
	for _, ttl := range []time.Duration{500 * time.Millisecond, 48 * time.Hour} {
		_, err := d.Grant(t.Context(), ttl)
		var native api.StatusError
		if !errors.Is(err, driver.ErrInvalid) || !errors.As(err, &native) || !strings.Contains(err.Error(), "TTL") {
			t.Errorf("Grant of %v = %v; want ErrInvalid, with what the server says", ttl, err)
		}
	}
}

// consulLostReply: the reply to a create is lost. Sent again, it would be
// refused, and its owner would take it for another's.
func consulLostReply(t *testing.T, rig *consulRig) {
	p, other := rig.peer(t), rig.peer(t).driver
	lease := conformance.MustGrant(t, p.driver, time.Minute)
	p.reach(t)
	key := rig.dir() + "/a"
	p.proxy.Mute()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := p.driver.Commit(ctx, driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral(key, []byte("v"))}})
	if !errors.Is(err, driver.ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a create whose reply was lost: %v, want ErrIndeterminate", err)
	}
	p.proxy.HealReset()
	all := conformance.MustRead(t, other, driver.Key(key))
	if len(all) != 1 || all[0].Lease != lease.ID() || string(all[0].Value) != "v" {
		t.Fatalf("it left %v", all)
	}
	p.reach(t)
	if again := conformance.MustRead(t, other, driver.Key(key)); again[0].Modified != all[0].Modified {
		t.Errorf("it was applied again: %v, then %v", all, again)
	}
}

// consulWiped wipes all servers and puts an older backup back: the indexes
// begin again from there and come to where they were. A version from before
// then means something else.
func consulWiped(t *testing.T, rig *consulRig) {
	p, other := rig.peer(t), rig.peer(t).driver
	key := rig.dir() + "/a"
	conformance.MustApply(t, other, "", driver.Create(key, []byte("0")))
	restore := conformance.TakeSnapshot(t, rig.cluster, false)
	kept := conformance.MustRead(t, p.driver, driver.Key(key))[0]
	var old driver.Version
	for i := range 60 {
		value := fmt.Appendf(nil, "before-%d", i)
		if i == 0 {
			old = kept.Version
		}
		old = conformance.MustApply(t, p.driver, "", driver.Put(key, value, old))[0]
	}
	conformance.Must(t, rig.cluster.KillAll())
	for _, node := range rig.cluster.Nodes() {
		conformance.Must(t, node.Wipe())
	}
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	conformance.Must(t, rig.cluster.StartAll(ctx))
	restore()
	p.reach(t) // sees that the indexes went back
	e := conformance.MustRead(t, other, driver.Key(key))[0]
	for i := 0; e.Modified < old.Number; i++ {
		conformance.MustApply(t, other, "", driver.Put(key, fmt.Appendf(nil, "after-%d", i), e.Version))
		e = conformance.MustRead(t, other, driver.Key(key))[0]
	}
	t.Logf("indexes: %d in the backup, %d before the wipe, and again %d after it", kept.Modified, old.Number, e.Modified)
	result := conformance.MustCommit(t, p.driver, driver.Txn{Ops: []driver.Op{driver.Put(key, []byte("late"), old)}})
	if result.Applied {
		t.Error("a version from before the wipe was accepted")
	}
	if now := conformance.MustRead(t, p.driver, driver.Key(key))[0]; string(now.Value) != string(e.Value) || now.Version.Generation < 2 {
		t.Errorf("the key is %q in generation %d; want %q in a new one", now.Value, now.Version.Generation, e.Value)
	} else {
		conformance.MustApply(t, p.driver, "", driver.Put(key, []byte("last"), now.Version))
	}
}
