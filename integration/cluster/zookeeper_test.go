package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

type silent struct{}

func (silent) Printf(string, ...any) {}

// zooValue opens a connection for each call: what is tested is the servers.
type zooValue struct{ servers []string }

func (v zooValue) try(ctx context.Context, do func(*zk.Conn) error) error {
	conn, _, err := zk.Connect(v.servers, 4*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		return err
	}
	defer conn.Close()
	return persistently(ctx, func(context.Context) error { return do(conn) })
}

func (v zooValue) set(ctx context.Context, to string) error {
	return v.try(ctx, func(conn *zk.Conn) error {
		_, err := conn.Set("/value", []byte(to), -1)
		if errors.Is(err, zk.ErrNoNode) {
			_, err = conn.Create("/value", []byte(to), 0, zk.WorldACL(zk.PermAll))
		}
		return err
	})
}

func (v zooValue) get(ctx context.Context) (got string, err error) {
	err = v.try(ctx, func(conn *zk.Conn) error {
		if _, err := conn.Sync("/"); err != nil {
			return err
		}
		data, _, err := conn.Get("/value")
		got = string(data)
		return err
	})
	return got, err
}

func TestZooKeeper(t *testing.T) {
	c := starts(t, "ZooKeeper", func() (*Cluster, error) { return StartZooKeeper(ZooKeeperConfig{}) })
	testCluster(t, c, zooValue{c.Addrs()})
}

func TestZooKeeperServesTLS(t *testing.T) {
	certs, err := NewCertificates(t.TempDir(), "somebody")
	if err != nil {
		t.Fatal(err)
	}
	c := starts(t, "ZooKeeper", func() (*Cluster, error) {
		return StartZooKeeper(ZooKeeperConfig{Nodes: 1, TLS: certs.Server(true)})
	})
	config, err := certs.Client()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(config *tls.Config) (string, error) {
		conn, err := tls.Dial("tcp", c.Nodes()[0].SecureAddr(), config)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return "", err
		}
		if _, err := io.WriteString(conn, "ruok"); err != nil {
			return "", err
		}
		answer := make([]byte, 4)
		_, err = io.ReadFull(conn, answer)
		return string(answer), err
	}
	if answer, err := ask(config); err != nil || answer != "imok" {
		t.Fatalf("a client with a certificate is told %q, %v", answer, err)
	}
	nameless := config.Clone()
	nameless.Certificates = nil
	if answer, err := ask(nameless); err == nil {
		t.Fatalf("a client without a certificate is told %q", answer)
	}
}
