package etcd_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

const (
	etcdRoot     = "root"
	etcdPassword = "correct horse"
	// etcdNamespace is what the role of the users "writer" and "reader" is about.
	etcdNamespace = "quorate"
)

// protect switches authentication on. The user writer may read and write the
// keys of the namespace, reader may read them; neither may do anything else.
func (r *etcdRig) protect(t testing.TB) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	// The rig's own client has no token to do this with.
	admin := etcdClient(t, clientv3.Config{Endpoints: r.cluster.Addrs()})
	begin, end := etcdNamespace+"/", clientv3.GetPrefixRangeEnd(etcdNamespace+"/")
	for role, permission := range map[string]clientv3.PermissionType{"writer": clientv3.PermissionType(clientv3.PermReadWrite), "reader": clientv3.PermissionType(clientv3.PermRead)} {
		_, err := admin.RoleAdd(ctx, role)
		conformance.Must(t, err)
		_, err = admin.RoleGrantPermission(ctx, role, begin, end, permission)
		conformance.Must(t, err)
		_, err = admin.UserAdd(ctx, role, etcdPassword)
		conformance.Must(t, err)
		_, err = admin.UserGrantRole(ctx, role, role)
		conformance.Must(t, err)
	}
	_, err := admin.UserAdd(ctx, etcdRoot, etcdPassword)
	conformance.Must(t, err)
	_, err = admin.RoleAdd(ctx, etcdRoot)
	conformance.Must(t, err)
	_, err = admin.UserGrantRole(ctx, etcdRoot, etcdRoot)
	conformance.Must(t, err)
	_, err = admin.AuthEnable(ctx)
	conformance.Must(t, err)
}

// TestEtcdAuth: what the documentation says suffices does, and what is refused
// is ErrDenied, each time.
func TestEtcdAuth(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{Username: etcdRoot, Password: etcdPassword})
	rig.protect(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	writer := rig.peerWith(t, clientv3.Config{Username: "writer", Password: etcdPassword})
	conformance.Everything(ctx, t, writer.driver, etcdNamespace, etcdTTL)

	reader := rig.peerWith(t, clientv3.Config{Username: "reader", Password: etcdPassword})
	_, err := reader.driver.Read(ctx, driver.Dir(etcdNamespace))
	conformance.Must(t, err)
	nobody := rig.peerWith(t, clientv3.Config{})
	for name, c := range map[string]struct {
		peer *etcdPeer
		dir  string
		read bool // is allowed
	}{
		"outside the namespace": {writer, "other", false},
		"beside the namespace":  {writer, etcdNamespace + "2", false},
		"reader":                {reader, etcdNamespace, true},
		"without a user":        {nobody, etcdNamespace, false},
	} {
		d, key := c.peer.driver, c.dir+"/a"
		_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}})
		conformance.Denied(t, name+": Commit", err)
		_, err = d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Delete(key, driver.Version{})}})
		conformance.Denied(t, name+": blind delete", err)
		if c.read {
			continue
		}
		_, err = d.Read(ctx, driver.Key(key))
		conformance.Denied(t, name+": Read", err)
		_, err = d.Read(ctx, driver.Dir(c.dir))
		conformance.Denied(t, name+": Read of a directory", err)
		conformance.Denied(t, name+": Watch", d.Watch(ctx, driver.Dir(c.dir), func([]driver.Entry) {}))
	}
	_, err = nobody.driver.Grant(ctx, etcdTTL)
	conformance.Denied(t, "without a user: Grant", err)
	// A lease can be prolonged by who may write its keys.
	lease, err := writer.driver.Grant(ctx, etcdTTL)
	conformance.Must(t, err)
	_, err = rig.admin.Put(ctx, "other/key", "", clientv3.WithLease(etcdLeaseID(t, lease)))
	conformance.Must(t, err)
	_, err = lease.Renew(ctx)
	conformance.Denied(t, "Renew of a lease with a key of others", err)
}

// TestEtcdTokenExpiry lets tokens that live for 2 s expire, several times over,
// under a lease, under watches, and between calls.
func TestEtcdTokenExpiry(t *testing.T) {
	const life = 2 * time.Second
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	conformance.Must(t, err)
	private, public := filepath.Join(t.TempDir(), "private.pem"), filepath.Join(t.TempDir(), "public.pem")
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	conformance.Must(t, err)
	conformance.Must(t, os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600))
	conformance.Must(t, os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
	rig := startEtcd(t, cluster.EtcdConfig{
		Username: etcdRoot, Password: etcdPassword,
		Config: fmt.Sprintf("auth-token: jwt,pub-key=%s,priv-key=%s,sign-method=RS256,ttl=%v", public, private, life),
	})
	rig.protect(t)
	p := rig.peerWith(t, clientv3.Config{Username: "writer", Password: etcdPassword})
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	watched := etcdNamespace + "/watched"
	values := p.watch(t, watched)
	awaitValue(t, values, "")
	lease, err := p.driver.Grant(ctx, etcdTTL)
	conformance.Must(t, err)
	for round := range 3 {
		for begin := time.Now(); time.Since(begin) < life+life/4; <-time.After(etcdTTL / 4) {
			_, err := lease.Renew(ctx)
			conformance.Must(t, err)
		}
		// The stream of the first watch was opened with a token that has
		// expired: another watch has to do without it.
		conformance.Everything(ctx, t, p.driver, etcdNamespace, etcdTTL)
		value := fmt.Sprint(round)
		rig.put(t, watched, value)
		awaitValue(t, values, value)
	}
	// Nothing was asked for a while.
	<-time.After(life + life/2)
	result, err := p.driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(etcdNamespace+"/idle", nil)}})
	conformance.Must(t, err)
	if !result.Applied {
		t.Errorf("refused: %+v", result)
	}
}
