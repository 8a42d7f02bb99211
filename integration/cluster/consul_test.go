package cluster

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// consulValue asks the servers in turn: Consul's client knows one alone.
type consulValue struct {
	clients []*api.Client
	next    int
}

func newConsulValue(t *testing.T, c *Cluster) *consulValue {
	v := &consulValue{}
	for _, n := range c.Nodes() {
		client, err := api.NewClient(&api.Config{Address: n.Addr(), Transport: &http.Transport{DisableKeepAlives: true}})
		if err != nil {
			t.Fatal(err)
		}
		v.clients = append(v.clients, client)
	}
	return v
}

func (v *consulValue) try(ctx context.Context, do func(context.Context, *api.KV) error) error {
	return persistently(ctx, func(ctx context.Context) error {
		v.next++
		return do(ctx, v.clients[v.next%len(v.clients)].KV())
	})
}

func (v *consulValue) set(ctx context.Context, to string) error {
	return v.try(ctx, func(ctx context.Context, kv *api.KV) error {
		_, err := kv.Put(&api.KVPair{Key: "value", Value: []byte(to)}, new(api.WriteOptions).WithContext(ctx))
		return err
	})
}

func (v *consulValue) get(ctx context.Context) (got string, err error) {
	err = v.try(ctx, func(ctx context.Context, kv *api.KV) error {
		got = ""
		pair, _, err := kv.Get("value", (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		if err == nil && pair != nil {
			got = string(pair.Value)
		}
		return err
	})
	return got, err
}

func TestConsul(t *testing.T) {
	c := starts(t, "Consul", func() (*Cluster, error) { return StartConsul(ConsulConfig{}) })
	testCluster(t, c, newConsulValue(t, c))
}

// Also: access control, which the cluster's own questions must live with.
func TestConsulServesTLS(t *testing.T) {
	certs, err := NewCertificates(t.TempDir(), "somebody")
	if err != nil {
		t.Fatal(err)
	}
	const token = "4b7f4e1e-6b1c-4c7e-9d53-3a4c6e3f0a11"
	c := starts(t, "Consul", func() (*Cluster, error) {
		return StartConsul(ConsulConfig{Nodes: 1, TLS: certs.Server(true), Token: token, Config: `
			acl {
				enabled = true
				default_policy = "deny"
				tokens {
					initial_management = "` + token + `"
					agent = "` + token + `"
				}
			}`})
	})
	config, err := certs.Client()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	address := "https://" + c.Nodes()[0].SecureAddr()
	open := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	client, err := api.NewClient(&api.Config{Address: address, Token: token, Transport: open})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.KV().Put(&api.KVPair{Key: "value"}, new(api.WriteOptions).WithContext(ctx)); err != nil {
		t.Fatal(err)
	}
	nameless := config.Clone()
	nameless.Certificates = nil
	shut := &http.Client{Transport: &http.Transport{TLSClientConfig: nameless, DisableKeepAlives: true}}
	reply, err := shut.Get(address + "/v1/status/leader")
	if err == nil {
		reply.Body.Close()
		t.Fatalf("a client without a certificate is told %s", reply.Status)
	}
	if _, err := c.Snapshot(ctx); err != nil {
		t.Fatal(err)
	}
}
