package membership

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
		ttl: 4 * time.Second, expiry: 10 * time.Second, // up to twice the TTL
		start: func() (*cluster.Cluster, error) { return cluster.StartConsul(cluster.ConsulConfig{}) },
		open: func(addrs []string, opts *backend.Options) (*backend.Store, error) {
			client, err := api.NewClient(&api.Config{Address: addrs[0]})
			if err != nil {
				return nil, err
			}
			return consul.New(client, opts)
		},
	}
}

func TestProcessesConsul(t *testing.T) { runProcesses(t, "consul") }
func TestScaleConsul(t *testing.T)     { runScale(t, "consul") }
