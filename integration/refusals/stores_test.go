package refusals

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/hashicorp/consul/api"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/zookeeper"
	"github.com/quorate/quorate/integration/cluster"
)

// guarded is a store with access control on. Each process has permissions of
// its own, which can be taken away and given back.
type guarded struct {
	cluster *cluster.Cluster
	// open opens a process with permissions of its own.
	open func(t testing.TB, name string) *process
	// allow gives a process its permissions, or takes all but reading away.
	allow func(t testing.TB, name string, write bool)
}

const (
	secret     = "correct horse"
	consulRoot = "5e5b4a9c-6d1f-4c0e-9f0a-3b8f1d2c7e60"
	consulNode = "quorate"
	zooTick    = 500 * time.Millisecond
)

// guardedStores start a store with access control on so many servers.
var guardedStores = map[string]func(t testing.TB, nodes int) *guarded{
	"etcd": guardedEtcd, "consul": guardedConsul, "zookeeper": guardedZooKeeper, "postgres": guardedPostgres,
}

func guardedEtcd(t testing.TB, nodes int) *guarded {
	t.Helper()
	c, err := cluster.StartEtcd(cluster.EtcdConfig{
		Nodes: nodes, Username: "root", Password: secret,
		Config: "bcrypt-cost: 4", // or the servers spend the machine on passwords
	})
	closing(t, c, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	admin := etcdClient(t, clientv3.Config{Endpoints: c.Addrs()})
	_, err = admin.UserAdd(ctx, "root", secret)
	must(t, err)
	_, err = admin.RoleAdd(ctx, "root")
	must(t, err)
	_, err = admin.UserGrantRole(ctx, "root", "root")
	must(t, err)
	_, err = admin.AuthEnable(ctx)
	must(t, err)
	admin = etcdClient(t, clientv3.Config{Endpoints: c.Addrs(), Username: "root", Password: secret})
	begin, end := namespace+"/", clientv3.GetPrefixRangeEnd(namespace+"/")
	g := &guarded{cluster: c}
	g.allow = func(t testing.TB, name string, write bool) {
		t.Helper()
		kind := clientv3.PermRead
		if write {
			kind = clientv3.PermReadWrite
		}
		eventually(t, "a permission", func(ctx context.Context) error {
			_, err := admin.RoleGrantPermission(ctx, name, begin, end, clientv3.PermissionType(kind))
			return err
		})
	}
	g.open = func(t testing.TB, name string) *process {
		t.Helper()
		_, err := admin.RoleAdd(t.Context(), name)
		must(t, err)
		g.allow(t, name, true)
		_, err = admin.UserAdd(t.Context(), name, secret)
		must(t, err)
		_, err = admin.UserGrantRole(t.Context(), name, name)
		must(t, err)
		return onEtcd(t, clientv3.Config{Endpoints: c.Addrs(), Username: name, Password: secret})
	}
	return g
}

func guardedConsul(t testing.TB, nodes int) *guarded {
	t.Helper()
	c, err := cluster.StartConsul(cluster.ConsulConfig{Nodes: nodes, Token: consulRoot, Config: fmt.Sprintf(`acl {
  enabled = true
  default_policy = "deny"
  tokens { initial_management = %q, agent = %[1]q }
}`, consulRoot)})
	closing(t, c, err)
	admin := consulClient(t, c.Addrs()[0], consulRoot)
	eventually(t, "the node of the sessions", func(ctx context.Context) error {
		_, err := admin.Catalog().Register(&api.CatalogRegistration{Node: consulNode, Address: "127.0.0.1"}, new(api.WriteOptions).WithContext(ctx))
		return err
	})
	policies := make(map[string]*api.ACLPolicy)
	rules := func(policy string) string {
		return fmt.Sprintf("key_prefix %q { policy = %q }\nsession %q { policy = \"write\" }", namespace+"/", policy, consulNode)
	}
	g := &guarded{cluster: c}
	g.open = func(t testing.TB, name string) *process {
		t.Helper()
		policy, _, err := admin.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules("write")}, nil)
		must(t, err)
		policies[name] = policy
		token, _, err := admin.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
		must(t, err)
		addrs := c.Addrs()
		return onConsul(t, consulClient(t, addrs[len(policies)%len(addrs)], token.SecretID), &consul.Options{Node: consulNode})
	}
	g.allow = func(t testing.TB, name string, write bool) {
		t.Helper()
		policy := policies[name]
		policy.Rules = rules("read")
		if write {
			policy.Rules = rules("write")
		}
		eventually(t, "a permission", func(ctx context.Context) error {
			_, _, err := admin.ACL().PolicyUpdate(policy, new(api.WriteOptions).WithContext(ctx))
			return err
		})
	}
	return g
}

// guardedZooKeeper gives the permissions on every node below the namespace.
func guardedZooKeeper(t testing.TB, nodes int) *guarded {
	t.Helper()
	c, err := cluster.StartZooKeeper(cluster.ZooKeeperConfig{TickTime: zooTick, Nodes: nodes})
	closing(t, c, err)
	admin, _, err := zk.Connect(c.Addrs(), 10*time.Second, zk.WithLogInfo(false), zk.WithLogger(silent{}))
	must(t, err)
	t.Cleanup(admin.Close)
	must(t, admin.AddAuth("digest", []byte("admin:"+secret)))
	taken := make(map[string]bool)
	var names []string
	acl := func() []zk.ACL {
		all := zk.DigestACL(zk.PermAll, "admin", secret)
		for _, name := range names {
			perms := zk.PermRead | zk.PermWrite | zk.PermCreate | zk.PermDelete
			if taken[name] {
				perms = zk.PermRead
			}
			all = append(all, zk.DigestACL(int32(perms), name, secret)...)
		}
		return all
	}
	root := "/" + namespace
	_, err = admin.Create(root, nil, 0, acl())
	must(t, err)
	var set func(path string) error
	set = func(path string) error {
		if _, err := admin.SetACL(path, acl(), -1); err != nil && !errors.Is(err, zk.ErrNoNode) {
			return err
		}
		children, _, err := admin.Children(path)
		if errors.Is(err, zk.ErrNoNode) {
			return nil
		}
		for _, child := range children {
			if err := set(path + "/" + child); err != nil {
				return err
			}
		}
		return err
	}
	g := &guarded{cluster: c}
	g.open = func(t testing.TB, name string) *process {
		t.Helper()
		names = append(names, name)
		must(t, set(root))
		d, err := zookeeper.NewDriver(c.Addrs(), &zookeeper.Options{
			Tick: zooTick, Auth: []zookeeper.Auth{{Scheme: "digest", Data: []byte(name + ":" + secret)}}, ACL: workers(),
		})
		must(t, err)
		return open(t, d)
	}
	g.allow = func(t testing.TB, name string, write bool) {
		t.Helper()
		taken[name] = !write
		eventually(t, "a permission", func(context.Context) error { return set(root) })
	}
	return g
}

// workers is the ACL of what the processes of these tests create.
func workers() []zk.ACL {
	all := zk.DigestACL(zk.PermAll, "admin", secret)
	for _, name := range []string{"a", "b", "c"} {
		all = append(all, zk.DigestACL(zk.PermRead|zk.PermWrite|zk.PermCreate|zk.PermDelete, name, secret)...)
	}
	return all
}

type silent struct{}

func (silent) Printf(string, ...any) {}
