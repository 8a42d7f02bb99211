package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Snapshot is a backup of a cluster's content, made by the store's own means.
type Snapshot struct {
	cluster *Cluster
	path    string
}

// Snapshot takes a backup. It belongs to the cluster and goes with it.
func (c *Cluster) Snapshot(ctx context.Context) (*Snapshot, error) {
	dir, err := os.MkdirTemp(c.dir.path, "snapshot-")
	if err != nil {
		return nil, fmt.Errorf("making a snapshot directory: %w", err)
	}
	s := &Snapshot{cluster: c, path: filepath.Join(dir, "data")}
	leader, err := c.Leader(ctx)
	if err == nil {
		err = c.store.snapshot(ctx, leader, s.path)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// Restore puts the whole cluster back to the snapshot by the store's own
// means and returns when it serves again. Revisions go back with the content,
// except where bump is set and the store is etcd: its revisions then jump
// ahead, and its watchers learn that what they resume from is gone.
//
// etcd and ZooKeeper are restored with all servers stopped; Consul while it
// serves. A restore that fails leaves the cluster in an unknown state.
func (s *Snapshot) Restore(ctx context.Context, bump bool) error {
	return s.cluster.store.restore(ctx, s.cluster, s.path, bump)
}
