package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/hashicorp/consul/api"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/quorate/quorate/integration/cluster"
)

// admin is an operator, who has the store's own client.
type admin interface {
	// write writes a key of the operator's own, by one of a number of ways: a
	// client of Consul has one server, its agent, the others whichever is there.
	write(ctx context.Context, way int) error
	ways() int
	// end ends a session by hand.
	end(ctx context.Context, session string) error
	// sessions counts those that there are, but for the operator's.
	sessions(ctx context.Context) (int, error)
	// close closes the client, which would go on to connect to addresses that
	// others have by then. Nothing else is called any more.
	close()
}

var admins = map[string]func(*cluster.Cluster) admin{
	"etcd":      newEtcdAdmin,
	"consul":    newConsulAdmin,
	"zookeeper": func(c *cluster.Cluster) admin { return &zooAdmin{cluster: c} },
	"postgres":  newPostgresAdmin,
}

type etcdAdmin struct{ client *clientv3.Client }

func newEtcdAdmin(c *cluster.Cluster) admin {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: c.Addrs(), Logger: zap.NewNop(), MaxUnaryRetries: 1,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1, MaxDelay: 50 * time.Millisecond},
		})},
	})
	if err != nil {
		panic(err) // of a configuration that is right
	}
	return &etcdAdmin{client}
}

func (a *etcdAdmin) ways() int { return 1 }

func (a *etcdAdmin) write(ctx context.Context, _ int) error {
	_, err := a.client.Put(ctx, "probe", time.Now().String())
	return err
}

func (a *etcdAdmin) end(ctx context.Context, session string) error {
	var id int64
	if _, err := fmt.Sscanf(session, "%x", &id); err != nil {
		return fmt.Errorf("session %q: %w", session, err)
	}
	_, err := a.client.Revoke(ctx, clientv3.LeaseID(id))
	return err
}

func (a *etcdAdmin) sessions(ctx context.Context) (int, error) {
	leases, err := a.client.Leases(ctx)
	if err != nil {
		return 0, err
	}
	return len(leases.Leases), nil
}

func (a *etcdAdmin) close() { _ = a.client.Close() }

type consulAdmin struct{ clients []*api.Client }

func newConsulAdmin(c *cluster.Cluster) admin {
	a := new(consulAdmin)
	for _, addr := range c.Addrs() {
		// A connection each time: it must not count long against the limits.
		client, err := api.NewClient(&api.Config{Address: addr, Transport: &http.Transport{DisableKeepAlives: true}})
		if err != nil {
			panic(err)
		}
		a.clients = append(a.clients, client)
	}
	return a
}

// any does something through the first server that can.
func (a *consulAdmin) any(ctx context.Context, do func(*api.Client) error) error {
	var errs []error
	for _, client := range a.clients {
		if ctx.Err() != nil {
			break
		}
		err := do(client)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (a *consulAdmin) ways() int { return len(a.clients) }

func (a *consulAdmin) write(ctx context.Context, way int) error {
	bound, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err := a.clients[way].KV().Put(&api.KVPair{Key: "probe", Value: []byte(time.Now().String())}, new(api.WriteOptions).WithContext(bound))
	return err
}

func (a *consulAdmin) end(ctx context.Context, session string) error {
	return a.any(ctx, func(client *api.Client) error {
		_, err := client.Session().Destroy(session, new(api.WriteOptions).WithContext(ctx))
		return err
	})
}

func (a *consulAdmin) sessions(ctx context.Context) (n int, err error) {
	err = a.any(ctx, func(client *api.Client) error {
		all, _, err := client.Session().List((&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		n = len(all)
		return err
	})
	return n, err
}

func (a *consulAdmin) close() {} // it keeps no connection

// zooAdmin connects anew, to the next server, after each failure.
type zooAdmin struct {
	cluster *cluster.Cluster
	conn    *zk.Conn
	turn    int
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func (a *zooAdmin) ways() int { return 1 }

// write is called by one goroutine. The client knows no contexts: what it does
// not do in time ends with its connection.
func (a *zooAdmin) write(ctx context.Context, _ int) (err error) {
	if a.conn == nil {
		addrs := a.cluster.Addrs()
		a.turn++
		addr := addrs[a.turn%len(addrs)]
		if a.conn, _, err = zk.Connect([]string{addr}, 10*time.Second, zk.WithLogger(quiet{})); err != nil {
			return err
		}
	}
	conn := a.conn
	stop := context.AfterFunc(ctx, conn.Close)
	if _, err = conn.Set("/probe", []byte(time.Now().String()), -1); errors.Is(err, zk.ErrNoNode) {
		_, err = conn.Create("/probe", nil, 0, zk.WorldACL(zk.PermAll))
	}
	if !stop() || err != nil {
		conn.Close()
		a.conn = nil
	}
	return err
}

func (a *zooAdmin) end(ctx context.Context, session string) error {
	leader, err := a.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	var id uint64
	if _, err := fmt.Sscanf(session, "0x%x", &id); err != nil {
		return fmt.Errorf("session %q: %w", session, err)
	}
	return cluster.EndZooKeeperSession(ctx, leader, int64(id))
}

// sessions counts those that own something: what else there is, is the
// operator's, or was given up by one.
func (a *zooAdmin) sessions(ctx context.Context) (int, error) {
	leader, err := a.cluster.Leader(ctx)
	if err != nil {
		return 0, err
	}
	dump, err := cluster.FourLetterWord(ctx, leader, "dump")
	if err != nil {
		return 0, err
	}
	_, owners, found := strings.Cut(dump, "Sessions with Ephemerals")
	if !found {
		return 0, fmt.Errorf("the leader's dump: %q", dump)
	}
	return strings.Count(owners, "\n0x"), nil
}

func (a *zooAdmin) close() {
	if a.conn != nil {
		a.conn.Close()
		a.conn = nil
	}
}
