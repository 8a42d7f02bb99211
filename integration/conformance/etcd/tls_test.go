package etcd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
	next int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	var der []byte
	der, a.key = a.sign(t, "test authority", template)
	cert, err := x509.ParseCertificate(der)
	conformance.Must(t, err)
	a.cert = cert
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a *authority) sign(t testing.TB, name string, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	conformance.Must(t, err)
	a.next++
	template.SerialNumber = big.NewInt(a.next)
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	conformance.Must(t, err)
	return der, key
}

// issue returns a certificate for 127.0.0.1 and for name, and its key, in PEM.
func (a *authority) issue(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	der, private := a.sign(t, name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	keyDER, err := x509.MarshalECPrivateKey(private)
	conformance.Must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// clientTLS returns what a client named name trusts and shows.
func (a *authority) clientTLS(t testing.TB, name string) *tls.Config {
	t.Helper()
	pair, err := tls.X509KeyPair(a.issue(t, name))
	conformance.Must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

// TestEtcdTLS: servers that ask for clients' certificates, which name the user.
func TestEtcdTLS(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		conformance.Must(t, os.WriteFile(path, content, 0o600))
		return path
	}
	cert, key := ca.issue(t, "server")
	rig := startEtcd(t, cluster.EtcdConfig{
		Username: etcdRoot, Password: etcdPassword,
		TLS: &cluster.ServerTLS{CertFile: file("cert.pem", cert), KeyFile: file("key.pem", key), ClientCAFile: file("ca.pem", ca.pem)},
	})
	rig.protect(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	open := func(config *tls.Config) *etcdPeer {
		t.Helper()
		var endpoints []string
		for _, node := range rig.cluster.Nodes() {
			endpoints = append(endpoints, "https://"+node.SecureAddr())
		}
		client := etcdClient(t, clientv3.Config{Endpoints: endpoints, TLS: config})
		d, err := etcd.NewDriver(client)
		conformance.Must(t, err)
		t.Cleanup(func() {
			if err := d.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return &etcdPeer{driver: d, client: client}
	}
	conformance.Everything(ctx, t, open(ca.clientTLS(t, "writer")).driver, etcdNamespace, etcdTTL)

	_, err := open(ca.clientTLS(t, "reader")).driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(etcdNamespace+"/tls", nil)}})
	conformance.Denied(t, "the certificate of one who may only read: Commit", err)
	_, err = open(ca.clientTLS(t, "unknown")).driver.Read(ctx, driver.Key(etcdNamespace+"/tls"))
	conformance.Denied(t, "the certificate of a user who does not exist: Read", err)

	// Who shows no good certificate, or is shown none, reaches nobody.
	untrusted := ca.clientTLS(t, "writer")
	untrusted.RootCAs = x509.NewCertPool()
	foreign := stranger.clientTLS(t, "writer")
	foreign.RootCAs = ca.clientTLS(t, "writer").RootCAs
	for name, config := range map[string]*tls.Config{"untrusted server": untrusted, "untrusted client": foreign} {
		short, done := context.WithTimeout(ctx, time.Second)
		_, err := open(config).driver.Commit(short, driver.Txn{Ops: []driver.Op{driver.Create(etcdNamespace+"/never", nil)}})
		done()
		if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrIndeterminate) {
			t.Errorf("%s: Commit = %v, want ErrUnavailable: nothing was sent", name, err)
		}
	}
}
