package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// From the call to the settled outcome of a commit, while a server is silent.
const (
	settledBesideFollower = 3 * time.Second
	settledBesideLeader   = 5 * time.Second
)

// TestEtcdSilentServer lets a server fall silent under commits, in several
// ways. The client has no keep-alives. Each commit settles within the bound:
// its outcome is known, or a read tells. None is sent twice: raft has no more
// entries than commits were made.
func TestEtcdSilentServer(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{})
	for _, c := range []struct {
		name   string
		leader bool // is the one that falls silent, a follower otherwise
		bound  time.Duration
		fall   func(t *testing.T, p *etcdPeer, node *cluster.Node) (heal func())
	}{
		{"follower silent", false, settledBesideFollower, silentTo},
		{"follower paused", false, settledBesideFollower, paused},
		{"leader mute", true, settledBesideFollower, muteTo},
		{"leader paused", true, settledBesideLeader, paused},
	} {
		t.Run(c.name, func(t *testing.T) {
			rig.ready(t)
			leader := rig.leader(t)
			node := leader
			if !c.leader {
				node = rig.cluster.Nodes()[(leader.Index()+1)%3]
			}
			witness := rig.cluster.Nodes()[(node.Index()+1)%3]
			p := rig.peer(t)
			w := newWriters(t, p, rig.dir())
			before := rig.entries(t, witness)
			stop := w.write(8)
			w.more(t, 8) // all connections are in use
			heal := c.fall(t, p, node)
			w.more(t, 100)
			stop()
			heal()
			rig.ready(t)
			made, inDoubt, slowest := w.made.Load(), w.inDoubt.Load(), time.Duration(w.slowest.Load())
			t.Logf("%d commits, %d in doubt, settled within %v", made, inDoubt, slowest)
			if slowest > c.bound {
				t.Errorf("a commit settled after %v, want at most %v", slowest, c.bound)
			}
			w.check(t)
			const elections = 5 // one has an entry for the new leader's term
			if entries := rig.entries(t, witness) - before; entries > uint64(made)+elections {
				t.Errorf("%d commits made %d entries in raft: some were sent twice", made, entries)
			}
		})
	}
}

func silentTo(_ *testing.T, p *etcdPeer, node *cluster.Node) func() {
	p.proxies.Node(node.Index()).Silence()
	return p.proxies.HealReset
}

func muteTo(_ *testing.T, p *etcdPeer, node *cluster.Node) func() {
	p.proxies.Node(node.Index()).Mute()
	return p.proxies.HealReset
}

func paused(t *testing.T, _ *etcdPeer, node *cluster.Node) func() {
	conformance.Must(t, node.Pause())
	return func() { conformance.Must(t, node.Resume()) }
}

// entries is how many entries of raft a server has applied.
func (r *etcdRig) entries(t *testing.T, node *cluster.Node) uint64 {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	status, err := r.admin.Status(ctx, node.Addr())
	conformance.Must(t, err)
	return status.RaftAppliedIndex
}

// writers create keys of their own over one Store, one after the other.
type writers struct {
	store                  *backend.Store
	made, settled, inDoubt atomic.Int64
	slowest                atomic.Int64

	mu    sync.Mutex
	wrong []string
	keys  map[string]bool // whether it is there, as the commit said
}

func newWriters(t *testing.T, p *etcdPeer, namespace string) *writers {
	t.Helper()
	store, err := etcd.New(p.client, &backend.Options{Namespace: namespace, TTL: etcdTTL})
	conformance.Must(t, err)
	t.Cleanup(func() { conformance.Must(t, store.Close()) })
	return &writers{store: store, keys: make(map[string]bool)}
}

// write starts n writers, which end with the commit that they are at when stop
// is called.
func (w *writers) write(n int) (stop func()) {
	var all sync.WaitGroup
	ended := make(chan struct{})
	for i := range n {
		all.Go(func() {
			for j := 0; ; j++ {
				select {
				case <-ended:
					return
				case <-time.After(10 * time.Millisecond):
				}
				w.commit(fmt.Sprintf("%d-%d", i, j))
			}
		})
	}
	return func() { close(ended); all.Wait() }
}

// commit creates a key. A commit in doubt is settled by a read, as every
// primitive does it.
func (w *writers) commit(key string) {
	ctx := context.Background()
	began := time.Now()
	w.made.Add(1)
	result, err := w.store.Commit(ctx, backend.Txn{Ops: []backend.Op{driver.Create(key, nil)}})
	there := result.Applied
	doubt := errors.Is(err, backend.ErrIndeterminate)
	for retry := err; doubt && retry != nil; {
		w.inDoubt.Add(1)
		_, _, retry = w.store.Get(ctx, key)
	}
	took := int64(time.Since(began))
	for old := w.slowest.Load(); took > old && !w.slowest.CompareAndSwap(old, took); old = w.slowest.Load() {
	}
	w.settled.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case doubt:
	case err == nil && there:
		w.keys[key] = true
	case errors.Is(err, backend.ErrUnavailable):
		w.keys[key] = false
	default:
		w.wrong = append(w.wrong, fmt.Sprintf("%s: applied %t, %v", key, there, err))
	}
}

// more waits until n more commits have settled.
func (w *writers) more(t *testing.T, n int64) {
	t.Helper()
	target := w.settled.Load() + n
	conformance.Eventually(t, "more commits", func(context.Context) error {
		if w.settled.Load() < target {
			return errors.New("not yet")
		}
		return nil
	})
}

// check compares the keys that are there with what the commits said.
func (w *writers) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wrong := range w.wrong {
		t.Errorf("a commit of a key that nobody else creates: %s", wrong)
	}
	for key, want := range w.keys {
		if _, there, err := w.store.Get(t.Context(), key); err != nil || there != want {
			t.Errorf("%s is there: %t, want %t, %v", key, there, want, err)
		}
	}
}
