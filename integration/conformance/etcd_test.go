// Package conformance runs the driver's contract on real servers.
package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/cluster"
)

func TestEtcd(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{})
	drivertest.Run(t, func(t testing.TB) *drivertest.Env { return rig.env(t) })
}
