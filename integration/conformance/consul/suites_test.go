package consul_test

import (
	"testing"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

func TestConsul(t *testing.T) {
	conformance.Run(t, startConsul(t, cluster.ConsulConfig{}).env)
}
