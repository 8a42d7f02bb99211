package overlap

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/integration/cluster"
)

func init() {
	stores["etcd"] = system{
		ttl:    5 * time.Second,
		expiry: 8 * time.Second,
		start: func(time.Duration) (*cluster.Cluster, error) {
			return cluster.StartEtcd(cluster.EtcdConfig{})
		},
		open: func(tk task, opts *backend.Options) (*backend.Store, error) {
			client, err := etcdClient(tk)
			if err != nil {
				return nil, err
			}
			return etcd.New(client, opts)
		},
		stock: stockEtcd,
	}
}

func etcdClient(tk task) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: tk.Addrs, Logger: zap.NewNop()})
}

// stockEtcd leads by the client's own recipe, as its documentation shows it:
// until the session is done.
func stockEtcd(ctx context.Context, tk task, j *journal) error {
	client, err := etcdClient(tk)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		session, err := concurrency.NewSession(client, concurrency.WithTTL(int(tk.TTL/time.Second)), concurrency.WithContext(ctx))
		if err != nil {
			continue
		}
		e := concurrency.NewElection(session, "/stock/"+tk.Name)
		if err := e.Campaign(ctx, "me"); err != nil {
			continue
		}
		leading := func() bool {
			select {
			case <-session.Done():
				return false
			default:
				return ctx.Err() == nil
			}
		}
		for leading() {
			j.beat(uint64(e.Rev()), leading)
			pause(every)
		}
	}
	return nil
}

func TestOverlapEtcd(t *testing.T)     { runClientFaults(t, "etcd") }
func TestUndisturbedEtcd(t *testing.T) { runUndisturbed(t, "etcd", time.Minute) }

// TestStoreFaultsEtcd: the leader is paused for longer than the TTL while
// another takes over, and then resumed. It may revoke leases that were renewed
// elsewhere.
func TestStoreFaultsEtcd(t *testing.T) {
	runStoreFaults(t, "etcd", []storeFault{{"leader-paused-1.2xTTL", true, pausedServer(1.2)}})
}
