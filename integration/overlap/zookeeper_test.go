package overlap

import (
	"context"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/zookeeper"
	"github.com/quorate/quorate/integration/cluster"
)

// zooSystem is ZooKeeper with a timeout of 4 s, which is two ticks of its
// default and eight of the shorter one.
func zooSystem(tick time.Duration) system {
	return system{
		ttl:    4 * time.Second,
		tick:   tick,
		expiry: 4*time.Second + 2*tick + time.Second,
		start: func(tick time.Duration) (*cluster.Cluster, error) {
			return cluster.StartZooKeeper(cluster.ZooKeeperConfig{TickTime: tick})
		},
		open: func(tk task, opts *backend.Options) (*backend.Store, error) {
			d, err := zookeeper.NewDriver(tk.Addrs, &zookeeper.Options{Tick: tk.Tick})
			if err != nil {
				return nil, err
			}
			return backend.New(d, opts)
		},
		stock: stockZooKeeper,
	}
}

var zooSystems = []string{"zookeeper-tick-500ms", "zookeeper-tick-2s"}

func init() {
	stores[zooSystems[0]] = zooSystem(500 * time.Millisecond)
	stores[zooSystems[1]] = zooSystem(2 * time.Second)
}

type quietZoo struct{}

func (quietZoo) Printf(string, ...any) {}

// stockZooKeeper leads by the client's own recipe: from Lock until the client
// says that the session has expired.
func stockZooKeeper(ctx context.Context, tk task, j *journal) error {
	var term uint64
	for ctx.Err() == nil {
		conn, events, err := zk.Connect(tk.Addrs, tk.TTL, zk.WithLogger(quietZoo{}))
		if err != nil {
			return err
		}
		expired, lose := context.WithCancel(ctx)
		go func() {
			for e := range events {
				if e.State == zk.StateExpired {
					lose()
				}
			}
		}()
		lock := zk.NewLock(conn, "/stock/"+tk.Name, zk.WorldACL(zk.PermAll))
		if lock.Lock() == nil {
			leading := func() bool { return expired.Err() == nil }
			for term++; leading(); {
				j.beat(term, leading)
				pause(every)
			}
		}
		lose()
		conn.Close()
	}
	return nil
}

func TestOverlapZooKeeper(t *testing.T) {
	for _, name := range zooSystems {
		t.Run(name, func(t *testing.T) { runClientFaults(t, name) })
	}
}

func TestUndisturbedZooKeeper(t *testing.T) {
	for _, name := range zooSystems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runUndisturbed(t, name, time.Minute)
		})
	}
}

// TestStoreFaultsZooKeeper: a follower dies with what it has heard and not
// told; a leader is paused until another leads, and then resumed.
func TestStoreFaultsZooKeeper(t *testing.T) {
	runStoreFaults(t, zooSystems[0], []storeFault{
		{"follower-killed", false, killedServer},
		{"leader-paused-1.2xTTL", true, pausedServer(1.2)},
	})
}

// killedServer kills a server and starts it again once every session that was
// on it alone would have expired.
func killedServer(t *testing.T, r *rig, victim *cluster.Node) {
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	pause(r.system.expiry)
	if err := victim.Launch(); err != nil {
		t.Fatal(err)
	}
}
