package membership

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
		ttl: 4 * time.Second, expiry: 4*time.Second + 2*zooTick,
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

func TestProcessesZooKeeper(t *testing.T) { runProcesses(t, "zookeeper") }
func TestScaleZooKeeper(t *testing.T)     { runScale(t, "zookeeper") }
