package partition

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/integration/cluster"
)

func init() {
	stores["etcd"] = system{
		ttl: 3 * time.Second,
		// A leader looks for expired leases every half second, and a new one
		// adds an election timeout to every lease.
		expiry: 6 * time.Second,
		start:  func() (*cluster.Cluster, error) { return cluster.StartEtcd(cluster.EtcdConfig{}) },
		open: func(addrs []string, opts *backend.Options) (*backend.Store, error) {
			client, err := clientv3.New(clientv3.Config{Endpoints: addrs, Logger: zap.NewNop()})
			if err != nil {
				return nil, err
			}
			return etcd.New(client, opts)
		},
	}
}

func TestFaultsEtcd(t *testing.T) { runFaults(t, "etcd") }
