package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// StartConsulAgent starts a Consul agent that is no server, as a host has one
// beside its services, and returns when it serves. It passes requests on to the
// servers. It ends with the cluster.
func StartConsulAgent(c *Cluster) (*Node, error) {
	if c.store.name() != "consul" {
		return nil, fmt.Errorf("%s has no agents", c.store.name())
	}
	got, err := ports.take(c.store.ports())
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("agent-%d", len(c.agents))
	n := &Node{cluster: c, index: -1, name: name, dir: filepath.Join(c.dir.path, name), ports: got}
	c.agents = append(c.agents, n)
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a node's directory: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return n, n.Start(ctx)
}
