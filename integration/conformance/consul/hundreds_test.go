package consul_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

func TestHundredsConsul(t *testing.T) {
	rig := startConsul(t, cluster.ConsulConfig{})
	// 32 blocking queries at most, 16 calls, and a few for the session. A server
	// allows 200 connections, those that are being closed included.
	var seen transport
	p := rig.peerOn(t, rig.leader(t), nil, func(c *api.Config) {
		seen.RoundTripper = c.Transport
		c.HttpClient = &http.Client{Transport: &seen}
	})
	nodes := rig.cluster.Nodes()
	q := rig.peerOn(t, nodes[(slices.Index(nodes, p.node)+1)%len(nodes)], nil, nil)
	conformance.Hundreds(t, p.driver, q.driver, 32+16+4, func() int { return int(seen.underWay.Load()) })
	if n := seen.refused.Load(); n > 0 {
		t.Errorf("%d connections were refused", n)
	}
}

// transport counts requests under way, and those that were refused since the
// address had too many connections.
type transport struct {
	http.RoundTripper
	underWay, refused atomic.Int64
}

func (tr *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	tr.underWay.Add(1)
	defer tr.underWay.Add(-1)
	reply, err := tr.RoundTripper.RoundTrip(r)
	if err == nil && reply.StatusCode == http.StatusTooManyRequests {
		tr.refused.Add(1)
	}
	return reply, err
}
