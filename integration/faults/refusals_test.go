package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/hashicorp/consul/api"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/integration/cluster"
)

// storeFull has etcd refuse what needs space, while it serves all else: reads,
// renewals and deletes.
func storeFull(ctx context.Context, r *run) error {
	client := r.admin.(*etcdAdmin).client
	alarm := func(action pb.AlarmRequest_AlarmAction) error {
		status, err := client.Status(ctx, client.Endpoints()[0])
		if err != nil {
			return err
		}
		_, err = pb.NewMaintenanceClient(client.ActiveConnection()).Alarm(ctx, &pb.AlarmRequest{
			Action: action, MemberID: status.Header.GetMemberId(), Alarm: pb.AlarmType_NOSPACE,
		})
		return err
	}
	if err := alarm(pb.AlarmRequest_ACTIVATE); err != nil {
		return fmt.Errorf("raising the alarm: %w", err)
	}
	pause(r.either())
	r.heals()
	if err := alarm(pb.AlarmRequest_DEACTIVATE); err != nil {
		return fmt.Errorf("lifting the alarm: %w", err)
	}
	return nil
}

// refusedForAMoment has the store refuse every client, or a part of what each
// does, for less than half a TTL: that ends nothing.
func refusedForAMoment(ctx context.Context, r *run) error {
	refuse, allow, err := refusers[r.rig.Name](ctx, r)
	if err != nil {
		return err
	}
	if err := refuse(); err != nil {
		return fmt.Errorf("taking permissions: %w", err)
	}
	pause(r.draw(r.ttl / 4))
	r.heals()
	if err := allow(); err != nil {
		return fmt.Errorf("giving permissions back: %w", err)
	}
	return nil
}

// refusers return how a store is made to refuse, and how that is undone.
var refusers = map[string]func(context.Context, *run) (refuse, allow func() error, _ error){
	"etcd": refuseEtcd, "consul": refuseConsul, "zookeeper": refuseZooKeeper, "postgres": refusePostgres,
}

// refuseEtcd switches authentication on, for which no client has a user.
func refuseEtcd(ctx context.Context, r *run) (refuse, allow func() error, _ error) {
	const root, password = "root", "correct horse"
	admin := r.admin.(*etcdAdmin).client
	users, err := admin.UserList(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(users.Users) == 0 {
		_, added := admin.UserAdd(ctx, root, password)
		_, role := admin.RoleAdd(ctx, root)
		_, granted := admin.UserGrantRole(ctx, root, root)
		if err := errors.Join(added, role, granted); err != nil {
			return nil, nil, err
		}
	}
	refuse = func() error {
		_, err := admin.AuthEnable(ctx)
		return err
	}
	allow = func() error {
		// A client with a name connects only while authentication is on.
		client, err := clientv3.New(clientv3.Config{Endpoints: r.cluster.Addrs(), Username: root, Password: password, Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		defer client.Close()
		_, err = client.AuthDisable(ctx)
		return err
	}
	return refuse, allow, nil
}

const (
	consulRoot      = "5e5b4a9c-6d1f-4c0e-9f0a-3b8f1d2c7e60"
	consulAnonymous = "00000000-0000-0000-0000-000000000002"
)

// startConsul starts servers with access control, which allow everything until the
// token of those who have none gets a policy.
func startConsul() (*cluster.Cluster, error) {
	return cluster.StartConsul(cluster.ConsulConfig{Token: consulRoot, Config: fmt.Sprintf(`autopilot { server_stabilization_time = "1s" }
acl {
  enabled = true
  default_policy = "allow"
  tokens { initial_management = %q, agent = %[1]q }
}`, consulRoot)})
}

// refuseConsul gives the token of those who have none a policy that lets nobody
// write keys.
func refuseConsul(ctx context.Context, r *run) (refuse, allow func() error, _ error) {
	admin := r.admin.(*consulAdmin)
	query := (&api.QueryOptions{Token: consulRoot}).WithContext(ctx)
	root := (&api.WriteOptions{Token: consulRoot}).WithContext(ctx)
	policy := &api.ACLPolicy{Name: "read-only", Rules: `key_prefix "" { policy = "read" }`}
	err := admin.any(ctx, func(client *api.Client) error {
		known, _, err := client.ACL().PolicyReadByName(policy.Name, query)
		if err == nil && known == nil {
			known, _, err = client.ACL().PolicyCreate(policy, root)
		}
		if err == nil {
			policy = known
		}
		return err
	})
	set := func(policies ...*api.ACLLink) error {
		return admin.any(ctx, func(client *api.Client) error {
			_, _, err := client.ACL().TokenUpdate(&api.ACLToken{AccessorID: consulAnonymous, Policies: policies}, root)
			return err
		})
	}
	refuse = func() error { return set(&api.ACLLink{ID: policy.ID}) }
	allow = func() error { return set() }
	return refuse, allow, err
}

// limited has the Consul servers enforce limits on requests that are well below what
// the clients ask for when all is well.
func limited(ctx context.Context, r *run) error {
	err := cluster.ReloadConsul(ctx, r.cluster, func(config string) string {
		return config + `
limits { request_limits { mode = "enforcing", read_rate = 20, write_rate = 20 } }
`
	})
	if err != nil {
		return err
	}
	pause(r.either())
	r.heals()
	return cluster.ReloadConsul(ctx, r.cluster, nil)
}

// refuseZooKeeper takes away the permission to write to what is there.
func refuseZooKeeper(_ context.Context, r *run) (refuse, allow func() error, _ error) {
	conn, _, err := zk.Connect(r.cluster.Addrs(), 10*time.Second, zk.WithLogger(quiet{}))
	if err != nil {
		return nil, nil, err
	}
	if err := conn.AddAuth("digest", []byte("nemesis:secret")); err != nil {
		conn.Close()
		return nil, nil, err
	}
	// The nodes are the same both times: one that is created meanwhile is open. To
	// look for them again would make the refusal longer, by as many requests.
	paths, err := below(conn, "/"+namespace)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	refuse = func() error {
		return setACL(conn, paths, append(zk.DigestACL(zk.PermAll, "nemesis", "secret"), zk.WorldACL(zk.PermRead)...))
	}
	allow = func() error {
		defer conn.Close()
		return setACL(conn, paths, zk.WorldACL(zk.PermAll))
	}
	return refuse, allow, nil
}

// below returns the path of a node, and of all below it.
func below(conn *zk.Conn, path string) ([]string, error) {
	paths := []string{path}
	for i := 0; i < len(paths); i++ {
		children, _, err := conn.Children(paths[i])
		if err != nil && !errors.Is(err, zk.ErrNoNode) {
			return nil, err
		}
		for _, child := range children {
			paths = append(paths, paths[i]+"/"+child)
		}
	}
	return paths, nil
}

// setACL sets the ACL of all of these at once, so that no node is refused for much
// longer than another.
func setACL(conn *zk.Conn, paths []string, acl []zk.ACL) error {
	errs := make([]error, len(paths))
	var all sync.WaitGroup
	for i, path := range paths {
		all.Go(func() {
			if _, err := conn.SetACL(path, acl, -1); !errors.Is(err, zk.ErrNoNode) {
				errs[i] = err
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
