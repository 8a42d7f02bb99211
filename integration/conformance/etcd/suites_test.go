package etcd_test

import (
	"testing"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

func TestEtcd(t *testing.T) {
	conformance.Run(t, startEtcd(t, cluster.EtcdConfig{}).env)
}
