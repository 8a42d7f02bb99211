package checkpoints

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
		ttl:    3 * time.Second,
		expiry: 6 * time.Second, // up to twice the TTL
		start: func() (*cluster.Cluster, error) {
			return cluster.StartConsul(cluster.ConsulConfig{})
		},
		open: func(tk task, opts *backend.Options) (*backend.Store, error) {
			client, err := api.NewClient(&api.Config{Address: tk.Addrs[0]})
			if err != nil {
				return nil, err
			}
			return consul.New(client, opts)
		},
	}
}

func TestKilledWorkersConsul(t *testing.T) { killed(t, "consul") }
