package consul_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

const (
	consulRoot      = "5e5b4a9c-6d1f-4c0e-9f0a-3b8f1d2c7e60"
	consulNamespace = "quorate"
	// consulNode is what sessions hang on, and what the policy names.
	consulNode = "quorate"
)

// consulACL denies what is not allowed. Without enable_key_list_policy an agent
// leaves out of a list what the token may not read, and says so in a header.
func consulACL(keyListPolicy bool) string {
	return fmt.Sprintf(`acl {
  enabled = true
  default_policy = "deny"
  enable_key_list_policy = %t
  tokens { initial_management = %q, agent = %[2]q }
}`, keyListPolicy, consulRoot)
}

// startGuardedConsul starts servers with access control, and returns with them
// the tokens of one who may do what the documentation says suffices, and of one
// who may only look.
func startGuardedConsul(t testing.TB, config cluster.ConsulConfig, keyListPolicy bool) (rig *consulRig, writer, reader string) {
	t.Helper()
	config.Config, config.Token = consulACL(keyListPolicy), consulRoot
	rig = startConsul(t, config)
	admin := rig.admin(t)
	conformance.Eventually(t, "the node of the sessions", func(ctx context.Context) error {
		node := &api.CatalogRegistration{Node: consulNode, Address: "127.0.0.1"}
		_, err := admin.Catalog().Register(node, new(api.WriteOptions).WithContext(ctx))
		return err
	})
	token := func(name, rules string) string {
		policy, _, err := admin.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
		conformance.Must(t, err)
		token, _, err := admin.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
		conformance.Must(t, err)
		return token.SecretID
	}
	look := "read"
	if keyListPolicy {
		look = "list"
	}
	writer = token("writer", fmt.Sprintf("key_prefix %q { policy = \"write\" }\nsession %q { policy = \"write\" }", consulNamespace+"/", consulNode))
	reader = token("reader", fmt.Sprintf("key_prefix %q { policy = %q }", consulNamespace+"/", look))
	return rig, writer, reader
}

func consulWith(t testing.TB, rig *consulRig, token string) driver.Driver {
	t.Helper()
	return rig.peerOn(t, rig.leader(t), &consul.Options{Node: consulNode}, func(c *api.Config) { c.Token = token }).driver
}

// TestConsulACL: what the documentation says suffices does, and what is refused
// is ErrDenied, each time; never a conflict, nor an empty directory.
func TestConsulACL(t *testing.T) {
	for _, keyListPolicy := range []bool{false, true} {
		t.Run(fmt.Sprintf("key-list-policy-%t", keyListPolicy), func(t *testing.T) {
			rig, writerToken, readerToken := startGuardedConsul(t, cluster.ConsulConfig{}, keyListPolicy)
			ctx, cancel := conformance.Bounded(t)
			defer cancel()
			writer := consulWith(t, rig, writerToken)
			conformance.Eventually(t, "the token at every server", func(ctx context.Context) error {
				_, err := writer.Read(ctx, driver.Dir(consulNamespace))
				return err
			})
			conformance.Everything(ctx, t, writer, consulNamespace, consulTTL)

			reader := consulWith(t, rig, readerToken)
			conformance.Eventually(t, "what may be looked at", func(ctx context.Context) error {
				_, err := reader.Read(ctx, driver.Dir(consulNamespace))
				return err
			})
			nobody := consulWith(t, rig, "")
			// What is there is what a denied list would leave out.
			root := consulWith(t, rig, consulRoot)
			for _, dir := range []string{"other", consulNamespace + "2", consulNamespace} {
				conformance.MustApply(t, root, "", driver.Create(dir+"/there", nil))
			}
			for name, c := range map[string]struct {
				driver driver.Driver
				dir    string
				read   bool // is allowed
			}{
				"outside the namespace": {writer, "other", false},
				"beside the namespace":  {writer, consulNamespace + "2", false},
				"reader":                {reader, consulNamespace, true},
				"without a token":       {nobody, consulNamespace, false},
			} {
				key := c.dir + "/a"
				_, err := c.driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}})
				conformance.Denied(t, name+": Commit", err)
				_, err = c.driver.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Delete(key, driver.Version{})}})
				conformance.Denied(t, name+": blind delete", err)
				if c.read {
					continue
				}
				_, err = c.driver.Read(ctx, driver.Key(key))
				conformance.Denied(t, name+": Read", err)
				_, err = c.driver.Read(ctx, driver.Dir(c.dir))
				conformance.Denied(t, name+": Read of a directory", err)
				conformance.Denied(t, name+": Watch", c.driver.Watch(ctx, driver.Dir(c.dir), func([]driver.Entry) {}))
			}
			for name, d := range map[string]driver.Driver{"reader": reader, "without a token": nobody} {
				_, err := d.Grant(ctx, consulTTL)
				conformance.Denied(t, name+": Grant", err)
			}
		})
	}
}

// TestConsulTLS: servers that ask for clients' certificates.
func TestConsulTLS(t *testing.T) {
	certs, err := cluster.NewCertificates(t.TempDir(), "somebody")
	conformance.Must(t, err)
	strangers, err := cluster.NewCertificates(t.TempDir(), "somebody")
	conformance.Must(t, err)
	rig, token, _ := startGuardedConsul(t, cluster.ConsulConfig{TLS: certs.Server(true)}, false)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	node := rig.leader(t)
	open := func(files api.TLSConfig) driver.Driver {
		t.Helper()
		client := consulClient(t, func(c *api.Config) {
			c.Address, c.Scheme, c.Token, c.TLSConfig = node.SecureAddr(), "https", token, files
		})
		d, err := consul.NewDriver(client, &consul.Options{Node: consulNode})
		conformance.Must(t, err)
		t.Cleanup(func() {
			if err := d.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return d
	}
	good := api.TLSConfig{CAFile: certs.CAFile, CertFile: certs.ClientCertFile, KeyFile: certs.ClientKeyFile}
	conformance.Everything(ctx, t, open(good), consulNamespace, consulTTL)

	// Who is shown no good certificate has sent nothing.
	untrusted := good
	untrusted.CAFile = strangers.CAFile
	short, done := context.WithTimeout(ctx, 2*time.Second)
	defer done()
	never := driver.Txn{Ops: []driver.Op{driver.Create(consulNamespace+"/never", nil)}}
	var wrong *tls.CertificateVerificationError
	_, err = open(untrusted).Commit(short, never)
	if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrIndeterminate) || !errors.As(err, &wrong) {
		t.Errorf("untrusted server: Commit = %v, want ErrUnavailable with the reason: nothing was sent", err)
	}
	// Who shows none himself is turned away, which with TLS 1.3 he may learn
	// only after he has sent something.
	foreign := good
	foreign.CertFile, foreign.KeyFile = strangers.ClientCertFile, strangers.ClientKeyFile
	for name, files := range map[string]api.TLSConfig{"foreign certificate": foreign, "no certificate": {CAFile: certs.CAFile}} {
		if _, err := open(files).Commit(short, never); !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, driver.ErrIndeterminate) {
			t.Errorf("%s: Commit = %v, want it to fail", name, err)
		}
	}
	if all := conformance.MustRead(t, open(good), driver.Dir(consulNamespace)); len(all) != 0 {
		t.Errorf("keys %v were written", all)
	}
}
