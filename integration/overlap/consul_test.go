package overlap

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/integration/cluster"
)

func init() {
	stores["consul"] = system{
		ttl:    5 * time.Second,
		expiry: 11 * time.Second, // up to twice the TTL
		start: func(time.Duration) (*cluster.Cluster, error) {
			return cluster.StartConsul(cluster.ConsulConfig{})
		},
		open: func(tk task, opts *backend.Options) (*backend.Store, error) {
			client, err := consulClient(tk)
			if err != nil {
				return nil, err
			}
			return consul.New(client, opts)
		},
		stock: stockConsul,
	}
}

// consulClient talks to one agent, as Consul's clients do.
func consulClient(tk task) (*api.Client, error) {
	return api.NewClient(&api.Config{Address: tk.Addrs[0]})
}

// stockConsul leads by the client's own recipe, as its documentation shows it:
// until the channel that Lock returns is closed.
func stockConsul(ctx context.Context, tk task, j *journal) error {
	client, err := consulClient(tk)
	if err != nil {
		return err
	}
	var term atomic.Uint64
	for ctx.Err() == nil {
		lock, err := client.LockOpts(&api.LockOptions{Key: "stock/" + tk.Name, SessionTTL: tk.TTL.String(), LockDelay: time.Millisecond})
		if err != nil {
			return err
		}
		lost, err := lock.Lock(ctx.Done())
		if err != nil || lost == nil {
			continue
		}
		leading := func() bool {
			select {
			case <-lost:
				return false
			default:
				return ctx.Err() == nil
			}
		}
		for term.Add(1); leading(); {
			j.beat(term.Load(), leading)
			pause(every)
		}
	}
	return nil
}

func TestOverlapConsul(t *testing.T)     { runClientFaults(t, "consul") }
func TestUndisturbedConsul(t *testing.T) { runUndisturbed(t, "consul", time.Minute) }

// TestStoreFaultsConsul: the leader is paused for longer than a server's timer
// of a session runs, and then resumed.
func TestStoreFaultsConsul(t *testing.T) {
	runStoreFaults(t, "consul", []storeFault{{"leader-paused-2.5xTTL", true, pausedServer(2.5)}})
}
