package cluster

import (
	"testing"
	"time"
)

func TestZooKeeper(t *testing.T) {
	began := time.Now()
	c, err := StartZooKeeper(ZooKeeperConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("three ZooKeeper servers serve after %v", time.Since(began))
	testCluster(t, c)
}
