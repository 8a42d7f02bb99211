package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

type etcdValue struct{ client *clientv3.Client }

func newEtcdValue(t *testing.T, config clientv3.Config) etcdValue {
	config.Logger = zap.NewNop()
	client, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return etcdValue{client}
}

func (v etcdValue) set(ctx context.Context, to string) error {
	return persistently(ctx, func(ctx context.Context) error {
		_, err := v.client.Put(ctx, "value", to)
		return err
	})
}

func (v etcdValue) read(ctx context.Context) (got string, revision int64, err error) {
	err = persistently(ctx, func(ctx context.Context) error {
		reply, err := v.client.Get(ctx, "value")
		if err != nil {
			return err
		}
		got, revision = "", reply.Header.GetRevision()
		for _, kv := range reply.Kvs {
			got = string(kv.Value)
		}
		return nil
	})
	return got, revision, err
}

func (v etcdValue) get(ctx context.Context) (string, error) {
	got, _, err := v.read(ctx)
	return got, err
}

func TestEtcd(t *testing.T) {
	c := starts(t, "etcd", func() (*Cluster, error) { return StartEtcd(EtcdConfig{}) })
	testCluster(t, c, newEtcdValue(t, clientv3.Config{Endpoints: c.Addrs()}))
}

func TestEtcdRestoresWithAndWithoutBump(t *testing.T) {
	c := starts(t, "etcd", func() (*Cluster, error) { return StartEtcd(EtcdConfig{Nodes: 1}) })
	v := newEtcdValue(t, clientv3.Config{Endpoints: c.Addrs()})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	revision := func() int64 {
		t.Helper()
		_, revision, err := v.read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	if err := v.set(ctx, "kept"); err != nil {
		t.Fatal(err)
	}
	snapshot, err := c.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	then := revision()
	if err := v.set(ctx, "lost"); err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Restore(ctx, false); err != nil {
		t.Fatal(err)
	}
	if now := revision(); now != then {
		t.Fatalf("restored from revision %d to %d", then, now)
	}
	if err := snapshot.Restore(ctx, true); err != nil {
		t.Fatal(err)
	}
	if now := revision(); now < then+etcdRevisionBump {
		t.Fatalf("restored from revision %d to %d, although with a bump", then, now)
	}
	if _, err := v.client.Get(ctx, "value", clientv3.WithRev(then)); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Fatalf("history from before the restore reads as: %v", err)
	}
}

func TestEtcdServesTLS(t *testing.T) {
	certs, err := NewCertificates(t.TempDir(), "somebody")
	if err != nil {
		t.Fatal(err)
	}
	c := starts(t, "etcd", func() (*Cluster, error) { return StartEtcd(EtcdConfig{Nodes: 1, TLS: certs.Server(true)}) })
	config, err := certs.Client()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	endpoints := []string{"https://" + c.Nodes()[0].SecureAddr()}
	v := newEtcdValue(t, clientv3.Config{Endpoints: endpoints, TLS: config})
	if err := v.set(ctx, "secret"); err != nil {
		t.Fatal(err)
	}
	nameless := config.Clone()
	nameless.Certificates = nil
	stranger := newEtcdValue(t, clientv3.Config{Endpoints: endpoints, TLS: nameless})
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if got, err := stranger.client.Get(short, "value"); err == nil {
		t.Fatalf("a client without a certificate reads %v", got)
	}
}
