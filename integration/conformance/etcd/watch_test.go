package etcd_test

import (
	"context"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// etcdWatch watches a key, again whenever the watch fails, and returns its
// values as they come, "" for an absent key.
func (p *etcdPeer) watch(t testing.TB, key string) <-chan string {
	values := make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			err := p.driver.Watch(ctx, driver.Key(key), func(entries []driver.Entry) {
				value := ""
				if len(entries) > 0 {
					value = string(entries[0].Value)
				}
				values <- value
			})
			t.Logf("watch ended: %v", err)
		}
	}()
	return values
}

func awaitValue(t testing.TB, values <-chan string, want string) {
	t.Helper()
	timeout := time.After(conformance.Patience)
	for {
		select {
		case got := <-values:
			if got == want {
				return
			}
		case <-timeout:
			t.Fatalf("waited in vain for the watch to show %q", want)
		}
	}
}

func (r *etcdRig) put(t testing.TB, key, value string) {
	t.Helper()
	conformance.Eventually(t, "a put", func(ctx context.Context) error {
		_, err := r.admin.Put(ctx, key, value)
		return err
	})
}

// TestEtcdWatchSurvives takes a watch through what happens to clusters.
func TestEtcdWatchSurvives(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{})
	t.Run("the leader killed", func(t *testing.T) {
		p, key := rig.peer(t), rig.dir()
		values := p.watch(t, key)
		awaitValue(t, values, "")
		leader := rig.leader(t)
		conformance.Must(t, leader.Kill())
		rig.put(t, key, "after")
		awaitValue(t, values, "after")
		ctx, cancel := conformance.Bounded(t)
		defer cancel()
		conformance.Must(t, leader.Start(ctx))
		rig.put(t, key, "again")
		awaitValue(t, values, "again")
	})
	t.Run("its server black-holed", func(t *testing.T) {
		p, key := rig.peer(t), rig.dir()
		node := rig.cluster.Nodes()[0]
		p.pin(t, node)
		values := p.watch(t, key)
		awaitValue(t, values, "")
		for i := range rig.cluster.Nodes() {
			if i != node.Index() {
				p.proxies.Node(i).HealReset()
			}
		}
		p.reach(t)
		rig.put(t, key, "heard")
		awaitValue(t, values, "heard")
		p.proxies.Node(node.Index()).Silence()
		begin := time.Now()
		rig.put(t, key, "unheard")
		awaitValue(t, values, "unheard")
		// Two seconds of silence, three for an answer, then a read that may
		// have to ask twice.
		took := time.Since(begin)
		t.Logf("noticed after %v", took)
		if limit := 15 * time.Second; took > limit {
			t.Errorf("a watch was deaf for %v, want at most %v", took, limit)
		}
	})
	t.Run("its server paused", func(t *testing.T) {
		p, key := rig.peer(t), rig.dir()
		values := p.watch(t, key)
		awaitValue(t, values, "")
		for _, node := range rig.cluster.Nodes() {
			conformance.Must(t, node.Pause())
			rig.put(t, key, node.Name())
			awaitValue(t, values, node.Name())
			conformance.Must(t, node.Resume())
			rig.ready(t)
		}
	})
	t.Run("everything killed", func(t *testing.T) {
		p, key := rig.peer(t), rig.dir()
		values := p.watch(t, key)
		awaitValue(t, values, "")
		conformance.Must(t, rig.cluster.KillAll())
		ctx, cancel := conformance.Bounded(t)
		defer cancel()
		conformance.Must(t, rig.cluster.StartAll(ctx))
		begin := time.Now()
		rig.put(t, key, "after")
		awaitValue(t, values, "after")
		t.Logf("back %v after the cluster was", time.Since(begin))
	})
}

// TestEtcdGoesBack restores an older snapshot, with and without a bump of the
// revision, and wipes the cluster. Commits on what was read before are refused,
// though the store's numbers come again, and watches show the new state.
func TestEtcdGoesBack(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{})
	wipe := func() {
		ctx, cancel := conformance.Bounded(t)
		defer cancel()
		conformance.Must(t, rig.cluster.KillAll())
		for _, node := range rig.cluster.Nodes() {
			conformance.Must(t, node.Wipe())
		}
		conformance.Must(t, rig.cluster.StartAll(ctx))
	}
	for name, c := range map[string]struct {
		bump, wiped bool
	}{
		"restored":             {false, false},
		"restored with a bump": {true, false},
		"wiped":                {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, key := rig.peer(t), rig.dir()
			restore := conformance.TakeSnapshot(t, rig.cluster, c.bump)
			if c.wiped {
				restore = wipe
			}
			ctx, cancel := conformance.Bounded(t)
			defer cancel()
			values := p.watch(t, key)
			awaitValue(t, values, "")
			result, err := p.driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, []byte("before"))}})
			conformance.Must(t, err)
			old := result.Versions[0]
			awaitValue(t, values, "before")
			restore()
			awaitValue(t, values, "")
			rig.put(t, key, "other")
			awaitValue(t, values, "other")
			// The same number, as it could come to be.
			var forged driver.Version
			conformance.Eventually(t, "a read", func(ctx context.Context) error {
				read, err := p.driver.Read(ctx, driver.Key(key))
				if err == nil {
					forged = driver.Version{Generation: old.Generation, Number: read[0][0].Version.Number}
					if same := read[0][0].Version.Generation == old.Generation; same != c.bump {
						t.Errorf("the same generation: %v, want that only where revisions go on: %v", same, c.bump)
					}
				}
				return err
			})
			for _, version := range []driver.Version{old, forged} {
				if c.bump && version == forged {
					continue
				}
				result, err = p.driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Put(key, []byte("late"), version)}})
				conformance.Must(t, err)
				if result.Applied || string(result.Current[key].Value) != "other" {
					t.Errorf("a commit on %v, from before, was answered with %+v", version, result)
				}
			}
			result, err = p.driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Put(key, []byte("fresh"), result.Current[key].Version)}})
			conformance.Must(t, err)
			if !result.Applied {
				t.Error("a commit on what is read now was refused")
			}
		})
	}
}
