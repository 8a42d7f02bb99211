package consul_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// TestConsulSettings walks through the settings, modes and maintenance work of
// Consul that change how clients are served: docs/operations.md has a row for each.
func TestConsulSettings(t *testing.T) {
	for name, test := range map[string]func(t *testing.T){
		"kv_max_value_size":      maxValueSize,
		"txn_max_req_len":        maxTxnLength,
		"session_ttl_min":        sessionTTLMin,
		"max_query_time":         maxQueryTime,
		"token-deleted":          tokenDeleted,
		"block_endpoints":        blockedEndpoints,
		"leadership-transferred": leadershipTransferred,
		"backup":                 backup,
		"certificate-reloaded":   certificateReloaded,
		"client-agent":           clientAgent,
		"rpc_rate":               rpcRate,
		"balancer":               balancer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// one starts a cluster of one server.
func one(t *testing.T, config string) *consulRig {
	t.Helper()
	return startConsul(t, cluster.ConsulConfig{Nodes: 1, Config: config})
}

// workAt begins work by two processes that talk to an address, each with a client
// of its own.
func workAt(t *testing.T, addr string, options *consul.Options, change func(*api.Config)) *conformance.Work {
	t.Helper()
	open := func() driver.Driver {
		d, err := consul.NewDriver(consulClient(t, func(c *api.Config) {
			c.Address = addr
			if change != nil {
				change(c)
			}
		}), options)
		conformance.Must(t, err)
		return d
	}
	return conformance.Begin(t, consulNamespace, consulTTL, open(), open())
}

func (r *consulRig) atWork(t *testing.T) *conformance.Work {
	t.Helper()
	return workAt(t, r.cluster.Addrs()[0], nil, nil)
}

func maxValueSize(t *testing.T) {
	r := one(t, "limits { kv_max_value_size = 2048 }")
	tooLarge(t, r, make([]byte, 3000))
	r.atWork(t).GoesOn()
}

func maxTxnLength(t *testing.T) {
	r := one(t, "limits { kv_max_value_size = 2048\n txn_max_req_len = 4096 }")
	tooLarge(t, r, make([]byte, 1500), make([]byte, 1500), make([]byte, 1500))
	r.atWork(t).GoesOn()
}

func tooLarge(t *testing.T, r *consulRig, values ...[]byte) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	var txn driver.Txn
	for i, value := range values {
		txn.Ops = append(txn.Ops, driver.Create(fmt.Sprint(i), value))
	}
	if _, err := r.peer(t).driver.Commit(ctx, txn); !errors.Is(err, driver.ErrTooLarge) {
		t.Errorf("Commit = %v, want ErrTooLarge", err)
	}
}

func sessionTTLMin(t *testing.T) {
	r := startConsul(t, cluster.ConsulConfig{Nodes: 1, SessionTTLMin: 10 * time.Second})
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	_, err := r.peer(t).driver.Grant(ctx, consulTTL)
	if !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("Grant = %v, want ErrInvalid", err)
	}
}

// maxQueryTime ends each blocking query long before the driver would.
func maxQueryTime(t *testing.T) {
	r := one(t, `max_query_time = "1s"`+"\n"+`default_query_time = "1s"`)
	w := r.atWork(t)
	watch, err := w.Waiting.Watch(driver.Key("watched"))
	conformance.Must(t, err)
	t.Cleanup(watch.Close)
	w.Undisturbed(func() {
		for _, value := range []string{"1", "2", "3"} {
			<-time.After(consulTTL)
			ctx, cancel := conformance.Bounded(t)
			admin := r.admin(t)
			_, err := admin.KV().Put(&api.KVPair{Key: consulNamespace + "/watched", Value: []byte(value)}, new(api.WriteOptions).WithContext(ctx))
			conformance.Must(t, err)
			for {
				conformance.Must(t, watch.Next(ctx))
				if entries := watch.Entries(0); len(entries) == 1 && string(entries[0].Value) == value {
					break
				}
			}
			cancel()
		}
	})
}

// tokenDeleted: a client whose token is deleted is refused; one with another token
// goes on, and has the office after the session of the first.
func tokenDeleted(t *testing.T) {
	r, token, _ := startGuardedConsul(t, cluster.ConsulConfig{Nodes: 1}, false)
	d := consulWith(t, r, token)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	key := driver.Key(consulNamespace + "/a")
	_, err := d.Read(ctx, key)
	conformance.Must(t, err)
	admin := r.admin(t)
	self, _, err := admin.ACL().TokenReadSelf(&api.QueryOptions{Token: token})
	conformance.Must(t, err)
	_, err = admin.ACL().TokenDelete(self.AccessorID, nil)
	conformance.Must(t, err)
	conformance.Eventually(t, "the servers to forget the token", func(ctx context.Context) error {
		if _, err := d.Read(ctx, key); !errors.Is(err, driver.ErrUnknownCredential) {
			return errors.Join(errors.New("the token serves"), err)
		}
		return nil
	})
	fresh, _, err := admin.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{Name: "writer"}}}, nil)
	conformance.Must(t, err)
	workAt(t, r.cluster.Addrs()[0], &consul.Options{Node: consulNode}, func(c *api.Config) { c.Token = fresh.SecretID }).GoesOn()
}

// blockedEndpoints: without transactions there is no commit.
func blockedEndpoints(t *testing.T) {
	r := one(t, `http_config { block_endpoints = ["/v1/txn"] }`)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	_, err := r.peer(t).driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}})
	conformance.Denied(t, "Commit", err)
}

func leadershipTransferred(t *testing.T) {
	r := startConsul(t, cluster.ConsulConfig{})
	w := r.atWork(t)
	for range 3 {
		ctx, cancel := conformance.Bounded(t)
		before := r.leader(t)
		_, err := r.admin(t).Operator().RaftLeaderTransfer("", new(api.QueryOptions).WithContext(ctx))
		conformance.Must(t, err)
		conformance.Eventually(t, "another leader", func(ctx context.Context) error {
			leader, err := r.cluster.Leader(ctx)
			if err == nil && leader == before {
				err = errors.New("the old one leads")
			}
			return err
		})
		cancel()
		w.GoesOn()
	}
}

func backup(t *testing.T) {
	r := one(t, "")
	w := r.atWork(t)
	w.Undisturbed(func() {
		snapshot, _, err := r.admin(t).Snapshot().Save(nil)
		conformance.Must(t, err)
		_, err = io.Copy(io.Discard, snapshot)
		conformance.Must(t, err)
		conformance.Must(t, snapshot.Close())
	})
}

// certificateReloaded renews a server's certificate, has the server read it, and
// ends the connections that were made with the old one.
func certificateReloaded(t *testing.T) {
	certs, err := cluster.NewCertificates(t.TempDir(), "somebody")
	conformance.Must(t, err)
	r := startConsul(t, cluster.ConsulConfig{Nodes: 1, TLS: certs.Server(false)})
	proxies, err := cluster.NewProxiesTo(r.cluster.Nodes()[0].SecureAddr())
	conformance.Must(t, err)
	t.Cleanup(proxies.Close)
	w := workAt(t, proxies.Addrs()[0], nil, func(c *api.Config) {
		c.Scheme, c.TLSConfig = "https", api.TLSConfig{CAFile: certs.CAFile}
	})
	before, err := os.ReadFile(certs.Server(false).CertFile)
	conformance.Must(t, err)
	w.Undisturbed(func() {
		conformance.Must(t, certs.RenewServer())
		after, err := os.ReadFile(certs.Server(false).CertFile)
		conformance.Must(t, err)
		if string(after) == string(before) {
			t.Error("the certificate is the old one")
		}
		conformance.Must(t, r.admin(t).Agent().Reload())
		proxies.ResetAll()
	})
}

// clientAgent: the processes talk to an agent that is no server. It is killed and
// comes back, and then ends for longer than a TTL: the sessions outlive the first
// and not the second, and the work goes on after both.
func clientAgent(t *testing.T) {
	r := startConsul(t, cluster.ConsulConfig{})
	agent, err := cluster.StartConsulAgent(r.cluster)
	conformance.Must(t, err)
	w := workAt(t, agent.Addr(), nil, nil)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	w.Undisturbed(func() {
		conformance.Must(t, agent.Kill())
		conformance.Must(t, agent.Start(ctx))
	})
	// The agent passes requests on to another server.
	leader := r.leader(t)
	conformance.Must(t, leader.Kill())
	w.GoesOn()
	conformance.Must(t, leader.Start(ctx))
	conformance.Must(t, agent.Kill())
	<-time.After(consulExpiry)
	conformance.Must(t, agent.Start(ctx))
	w.GoesOn()
}

// rpcRate limits what an agent passes on to the servers: the driver slows down.
func rpcRate(t *testing.T) {
	r := one(t, "limits { rpc_rate = 20\n rpc_max_burst = 20 }")
	w := r.atWork(t)
	for range 5 {
		w.GoesOn()
	}
}

// balancer: one address leads to all servers. Sessions hang on the node that the
// driver asked first, so it has to be named: one that does not end with an agent.
func balancer(t *testing.T) {
	r := startConsul(t, cluster.ConsulConfig{})
	conformance.Eventually(t, "the node of the sessions", func(ctx context.Context) error {
		node := &api.CatalogRegistration{Node: consulNode, Address: "127.0.0.1"}
		_, err := r.admin(t).Catalog().Register(node, new(api.WriteOptions).WithContext(ctx))
		return err
	})
	w := workAt(t, conformance.Balance(t, r.cluster.Addrs()), &consul.Options{Node: consulNode}, nil)
	for _, node := range r.cluster.Nodes() {
		ctx, cancel := conformance.Bounded(t)
		conformance.Must(t, node.Kill())
		w.GoesOn()
		conformance.Must(t, node.Start(ctx))
		cancel()
	}
}
