package etcd_test

import (
	"testing"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

func TestHundredsEtcd(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{})
	p, q := rig.peer(t), rig.peer(t)
	// The adapter's own to each server, and the client's once it is used.
	conformance.Hundreds(t, p.driver, q.driver, 6, func() int { return p.proxies.Stats().Connections })
}
