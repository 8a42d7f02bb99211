package membership

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
		ttl: 4 * time.Second, expiry: 7 * time.Second,
		start: func() (*cluster.Cluster, error) { return cluster.StartEtcd(cluster.EtcdConfig{}) },
		open: func(addrs []string, opts *backend.Options) (*backend.Store, error) {
			client, err := clientv3.New(clientv3.Config{Endpoints: addrs, Logger: zap.NewNop()})
			if err != nil {
				return nil, err
			}
			return etcd.New(client, opts)
		},
	}
}

func TestProcessesEtcd(t *testing.T) { runProcesses(t, "etcd") }
func TestScaleEtcd(t *testing.T)     { runScale(t, "etcd") }
