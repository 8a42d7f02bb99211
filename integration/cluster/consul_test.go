package cluster

import (
	"testing"
	"time"
)

func TestConsul(t *testing.T) {
	began := time.Now()
	c, err := StartConsul(ConsulConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("three Consul servers serve after %v", time.Since(began))
	testCluster(t, c)
}
