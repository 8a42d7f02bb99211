package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

// etcdRevisionBump is how far a restore with a bump lets revisions jump: more
// than a test can have written since its snapshot.
const etcdRevisionBump = 1_000_000

// snapshot streams a snapshot of the leader to a file.
func (s *etcdStore) snapshot(ctx context.Context, leader *Node, file string) error {
	client, err := s.client(leader)
	if err != nil {
		return err
	}
	stream, err := client.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("taking a snapshot of %s: %w", leader.name, err)
	}
	defer stream.Close()
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("making the snapshot file: %w", err)
	}
	defer out.Close()
	if _, err := io.Copy(out, stream); err != nil {
		return fmt.Errorf("receiving the snapshot: %w", err)
	}
	return nil
}

// restore makes every member's data from the snapshot, with all of them
// stopped, as etcd prescribes, and starts them.
func (s *etcdStore) restore(ctx context.Context, c *Cluster, file string, bump bool) error {
	if err := c.KillAll(); err != nil {
		return err
	}
	by := 0
	if bump {
		by = etcdRevisionBump
	}
	err := c.each(func(n *Node) error {
		if err := n.Wipe(); err != nil {
			return err
		}
		if err := os.MkdirAll(n.DataDir(), 0o700); err != nil {
			return fmt.Errorf("making the data directory of %s: %w", n.name, err)
		}
		config, err := s.configure(n)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, s.program, "restore", config, file, strconv.Itoa(by))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("restoring %s: %w\n%s", n.name, err, out)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.StartAll(ctx)
}
