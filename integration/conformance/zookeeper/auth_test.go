package zookeeper_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/zookeeper"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// zooEverything makes each kind of call with keys in dir.
func zooEverything(t testing.TB, d driver.Driver, dir string) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	lease := conformance.MustGrant(t, d, zooTTL)
	a, b := dir+"/deep/a", dir+"/deep/b"
	seen := make(chan int, 100)
	watching, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- d.Watch(watching, driver.Dir(dir+"/deep"), func(entries []driver.Entry) { seen <- len(entries) })
	}()
	await := func(want int) {
		t.Helper()
		for {
			select {
			case n := <-seen:
				if n == want {
					return
				}
			case err := <-ended:
				t.Fatalf("Watch = %v, before it showed %d keys", err, want)
			case <-ctx.Done():
				t.Fatalf("the watch never showed %d keys", want)
			}
		}
	}
	await(0)
	v := conformance.MustApply(t, d, lease.ID(), driver.CreateEphemeral(a, nil), driver.Create(b, nil))
	await(2)
	v = conformance.MustApply(t, d, "", driver.Put(a, []byte("1"), v[0]), driver.Put(b, []byte("1"), v[1]))
	refused := conformance.MustCommit(t, d, driver.Txn{Ops: []driver.Op{driver.Create(a, nil)}})
	if e := refused.Current[a]; refused.Applied || e.Lease != lease.ID() {
		t.Errorf("a create of what is there: %+v, want it refused, with the key under its lease", refused)
	}
	conformance.Eventually(t, "a renewal", func(ctx context.Context) error { _, err := lease.Renew(ctx); return err })
	result := conformance.MustCommit(t, d, driver.Txn{Unchanged: []driver.Condition{{Key: a, Version: v[0]}}, Ops: []driver.Op{driver.Delete(b, v[1])}})
	if !result.Applied {
		t.Errorf("a delete was refused: %+v", result)
	}
	if n := len(conformance.MustRead(t, d, driver.Dir(dir+"/deep"))); n != 1 {
		t.Errorf("%d keys, want one", n)
	}
	conformance.Must(t, lease.Revoke(ctx))
	await(0)
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v", err)
	}
}

// TestZooKeeperAuth: what the documentation says suffices does, and what is
// refused is ErrDenied, each time.
func TestZooKeeperAuth(t *testing.T) {
	rig := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick, Nodes: 1})
	const namespace = "quorate"
	admin := rig.client(t)
	conformance.Must(t, admin.AddAuth("digest", []byte("admin:secret")))
	all := zk.DigestACL(zk.PermAll, "admin", "secret")
	writing := zk.DigestACL(zk.PermRead|zk.PermWrite|zk.PermCreate|zk.PermDelete, "writer", "secret")
	reading := zk.DigestACL(zk.PermRead, "reader", "secret")
	anyone := zk.WorldACL(zk.PermRead)
	_, err := admin.Create("/"+namespace, nil, 0, append(append(append([]zk.ACL{}, all...),
		zk.DigestACL(zk.PermRead|zk.PermCreate|zk.PermDelete, "writer", "secret")...), reading...))
	conformance.Must(t, err)
	_, err = admin.SetACL("/", append(append([]zk.ACL{}, all...), anyone...), -1)
	conformance.Must(t, err)
	as := func(who string) driver.Driver {
		options := zookeeper.Options{Tick: zooTick, ACL: append(append([]zk.ACL{}, writing...), reading...)}
		if who != "" {
			options.Auth = []zookeeper.Auth{{Scheme: "digest", Data: []byte(who + ":secret")}}
		}
		return rig.peerWith(t, options).driver
	}
	writer, reader, nobody := as("writer"), as("reader"), as("")
	zooEverything(t, writer, namespace+"/auth")
	conformance.MustApply(t, writer, "", driver.Create(namespace+"/a", nil))
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	for name, c := range map[string]struct {
		d    driver.Driver
		dir  string
		read bool // is allowed
	}{
		"outside the namespace": {writer, "other", true}, // nothing is there
		"reader":                {reader, namespace, true},
		"without an identity":   {nobody, namespace, false},
	} {
		key := c.dir + "/a"
		_, err := c.d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(c.dir+"/new", nil)}})
		conformance.Denied(t, name+": Commit", err)
		if c.dir == namespace {
			_, err = c.d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Delete(key, driver.Version{})}})
			conformance.Denied(t, name+": blind delete", err)
		}
		if c.read {
			conformance.MustRead(t, c.d, driver.Dir(c.dir))
			continue
		}
		_, err = c.d.Read(ctx, driver.Key(key))
		conformance.Denied(t, name+": Read", err)
		_, err = c.d.Read(ctx, driver.Dir(c.dir))
		conformance.Denied(t, name+": Read of a directory", err)
		conformance.Denied(t, name+": Watch", c.d.Watch(ctx, driver.Dir(c.dir), func([]driver.Entry) {}))
		conformance.Denied(t, name+": Watch of a key", c.d.Watch(ctx, driver.Key(key), func([]driver.Entry) {}))
	}
	// The barrier needs READ on the root; without it nothing can be relied on.
	_, err = admin.SetACL("/", all, -1)
	conformance.Must(t, err)
	_, err = writer.Read(ctx, driver.Key(namespace+"/a"))
	conformance.Denied(t, "Read where the root may not be read", err)
	lease := conformance.MustGrant(t, writer, zooTTL)
	_, err = lease.Renew(ctx)
	conformance.Denied(t, "Renew where the root may not be read", err)
	conformance.Must(t, lease.Revoke(ctx))
}

// TestZooKeeperTLS: servers that ask for clients' certificates.
func TestZooKeeperTLS(t *testing.T) {
	certs, err := cluster.NewCertificates(t.TempDir(), "somebody")
	conformance.Must(t, err)
	rig := startZooKeeper(t, cluster.ZooKeeperConfig{TickTime: zooTick, Nodes: 1, TLS: certs.Server(true)})
	good, err := certs.Client()
	conformance.Must(t, err)
	var servers []string
	for _, node := range rig.cluster.Nodes() {
		servers = append(servers, node.SecureAddr())
	}
	open := func(config *tls.Config) *zookeeper.Driver {
		t.Helper()
		d, err := zookeeper.NewDriver(servers, &zookeeper.Options{Tick: zooTick, TLS: config})
		conformance.Must(t, err)
		t.Cleanup(func() {
			if err := d.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return d
	}
	named := good.Clone()
	named.ServerName = "" // the host's
	zooEverything(t, open(named), "test/tls")

	untrusted, nameless := good.Clone(), good.Clone()
	untrusted.RootCAs = x509.NewCertPool()
	nameless.Certificates = nil
	for name, config := range map[string]*tls.Config{"a server that is not trusted": untrusted, "a client without a certificate": nameless, "no TLS": nil} {
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := open(config).Commit(short, driver.Txn{Ops: []driver.Op{driver.Create("test/never", nil)}})
		cancel()
		if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrIndeterminate) {
			t.Errorf("%s: Commit = %v, want ErrUnavailable: nothing was sent", name, err)
		}
	}
}
