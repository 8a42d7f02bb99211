package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// ReloadConsul has the Consul servers that run read their configuration again, as
// edit makes it of the right one. nil puts it right.
func ReloadConsul(ctx context.Context, c *Cluster, edit func(config string) string) error {
	s, ok := c.store.(*consulStore)
	if !ok {
		return fmt.Errorf("%s does not reload", c.store.name())
	}
	text := s.configuration()
	if edit != nil {
		text = edit(text)
	}
	return c.each(func(n *Node) error {
		if err := os.WriteFile(filepath.Join(n.dir, consulFile), []byte(text), 0o600); err != nil {
			return fmt.Errorf("writing the configuration of %s: %w", n.name, err)
		}
		if !n.Running() {
			return nil // It reads that when it starts.
		}
		reply, err := s.do(ctx, n, http.MethodPut, "/v1/agent/reload", nil)
		if err != nil {
			return fmt.Errorf("reloading %s: %w", n.name, err)
		}
		return reply.Body.Close()
	})
}
