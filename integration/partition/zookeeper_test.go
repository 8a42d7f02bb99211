package partition

import (
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/zookeeper"
	"github.com/quorate/quorate/integration/cluster"
)

const zooTick = 500 * time.Millisecond

func init() {
	stores["zookeeper"] = system{
		ttl: 3 * time.Second,
		// Sessions expire in steps of a tick.
		expiry: 3*time.Second + 2*zooTick,
		start: func() (*cluster.Cluster, error) {
			return cluster.StartZooKeeper(cluster.ZooKeeperConfig{TickTime: zooTick})
		},
		open: func(addrs []string, opts *backend.Options) (*backend.Store, error) {
			d, err := zookeeper.NewDriver(addrs, &zookeeper.Options{Tick: zooTick})
			if err != nil {
				return nil, err
			}
			return backend.New(d, opts)
		},
	}
}

func TestFaultsZooKeeper(t *testing.T) { runFaults(t, "zookeeper") }
