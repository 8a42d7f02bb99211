package partition

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/integration/cluster"
)

func init() {
	stores["consul"] = system{
		ttl: 3 * time.Second,
		// A server's timer is two TTLs, and then the end of the session is a
		// write like any other.
		expiry: 8 * time.Second,
		start:  func() (*cluster.Cluster, error) { return cluster.StartConsul(cluster.ConsulConfig{}) },
		open: func(addrs []string, opts *backend.Options) (*backend.Store, error) {
			client, err := api.NewClient(&api.Config{Address: addrs[0]})
			if err != nil {
				return nil, err
			}
			return consul.New(client, opts)
		},
	}
}

func TestFaultsConsul(t *testing.T) { runFaults(t, "consul") }
