package cluster

import (
	"context"
	"testing"
	"time"
)

func TestEtcd(t *testing.T) {
	began := time.Now()
	c, err := StartEtcd(EtcdConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("three etcd servers serve after %v", time.Since(began))
	testCluster(t, c)
}

// testCluster takes a cluster through what every store must do.
func testCluster(t *testing.T, c *Cluster) {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first, err := c.Leader(ctx)
	must(err)
	began := time.Now()
	must(first.Kill())
	second, err := c.Leader(ctx)
	must(err)
	if second == first {
		t.Fatalf("%s leads although it was killed", first.Name())
	}
	t.Logf("a new leader %v after the old one was killed", time.Since(began))
	began = time.Now()
	must(first.Start(ctx))
	must(c.WaitReady(ctx))
	t.Logf("the killed one serves again %v after its start", time.Since(began))
}
