package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// startTimeout bounds the start of a cluster, servers that are built already.
const startTimeout = 60 * time.Second

// Cluster is a number of servers that form one store, on this machine, each a
// process of its own. Its methods may be called concurrently, except that
// Close comes last.
type Cluster struct {
	store  store
	dir    *dataDir
	forker *forker
	nodes  []*Node
	agents []*Node // that are no servers (Consul)
	close  func() error
}

// store is what differs between etcd, Consul, ZooKeeper and PostgreSQL.
type store interface {
	// name names the store in messages and directories.
	name() string
	// ports is how many each node needs.
	ports() int
	// securePort is which of them serves TLS, 0 if none does.
	securePort() int
	// command is the server's command line; it writes what that needs.
	command(n *Node) (*exec.Cmd, error)
	// stopSignal has a server end in order.
	stopSignal() syscall.Signal
	// ask fails unless the node serves.
	ask(ctx context.Context, n *Node) (status, error)
	// snapshot takes a backup to path; restore puts it back and waits until
	// the cluster serves.
	snapshot(ctx context.Context, leader *Node, path string) error
	restore(ctx context.Context, c *Cluster, path string, bump bool) error
	// expel removes a server from the cluster, which a quorum without it does;
	// readmit lets one in its place, without data, be a member.
	expel(ctx context.Context, n *Node) error
	readmit(ctx context.Context, n *Node) error
	// votes reports whether a server counts: on Consul one that was readmitted, or
	// gone for so long that its vote was taken away, does so after a while.
	votes(ctx context.Context, n *Node) (bool, error)
	// close releases what asking needed.
	close() error
}

// status is what a node says of itself and its cluster.
type status struct {
	self   string // The node's identity, in the words of the others.
	leader string // The leader's; empty if this store's followers do not tell.
	leads  bool   // The node takes itself for the leader.
}

// newCluster starts n servers and waits until they serve.
func newCluster(s store, n int) (*Cluster, error) {
	if n == 0 {
		n = 3
	}
	if n < 0 {
		return nil, fmt.Errorf("a cluster of %d nodes", n)
	}
	dir, err := newDataDir(s.name())
	if err != nil {
		return nil, err
	}
	c := &Cluster{store: s, dir: dir, forker: newForker()}
	c.close = sync.OnceValue(c.shutDown)
	if err := c.startAll(n); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", s.name(), err), c.Close())
	}
	return c, nil
}

func (c *Cluster) startAll(count int) error {
	for i := range count {
		got, err := ports.take(c.store.ports())
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s-%d", c.store.name(), i)
		n := &Node{cluster: c, index: i, name: name, dir: filepath.Join(c.dir.path, name), ports: got}
		if err := os.MkdirAll(n.dir, 0o700); err != nil {
			return fmt.Errorf("making a node's directory: %w", err)
		}
		c.nodes = append(c.nodes, n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return c.StartAll(ctx)
}

// Close kills the servers, removes their data and gives their ports back.
func (c *Cluster) Close() error { return c.close() }

func (c *Cluster) shutDown() error {
	errs := []error{c.each((*Node).quit), c.store.close()}
	for _, n := range c.agents {
		errs = append(errs, n.Kill())
	}
	c.forker.close()
	for _, n := range slices.Concat(c.nodes, c.agents) {
		ports.give(n.ports...)
	}
	return errors.Join(append(errs, c.dir.close())...)
}

// Nodes returns the servers, in an order that stays.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Addrs returns the clients' address of every node, as host:port.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.Addr())
	}
	return addrs
}

// each does the same to all nodes at once.
func (c *Cluster) each(do func(*Node) error) error {
	errs := make([]error, len(c.nodes))
	var all sync.WaitGroup
	for i, n := range c.nodes {
		all.Go(func() { errs[i] = do(n) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// KillAll kills every server at once.
func (c *Cluster) KillAll() error { return c.each((*Node).Kill) }

// StopAll stops every server in order.
func (c *Cluster) StopAll() error { return c.each((*Node).Stop) }

// StartAll starts those servers that do not run and waits until all serve.
func (c *Cluster) StartAll(ctx context.Context) error {
	err := c.each(func(n *Node) error {
		if n.PID() != 0 {
			return nil
		}
		return n.Launch()
	})
	if err != nil {
		return err
	}
	return c.WaitReady(ctx)
}

// WaitReady waits until the servers that run serve, have their votes, are a
// quorum and agree on one of them as the leader. It fails when ctx ends, or when
// a server ended by itself.
func (c *Cluster) WaitReady(ctx context.Context) error {
	_, err := c.agreed(ctx, true)
	return err
}

// Leader waits until a majority of the servers agrees on a leader that runs,
// and returns it. While a leader is paused or killed and the others have not
// yet noticed, that takes until they elected another.
func (c *Cluster) Leader(ctx context.Context) (*Node, error) { return c.agreed(ctx, false) }

func (c *Cluster) agreed(ctx context.Context, all bool) (*Node, error) {
	var leader *Node
	var last error
	err := poll(ctx, func() (bool, error) {
		for _, n := range c.nodes {
			if err := n.crashed(); err != nil {
				return false, err
			}
		}
		leader, last = c.survey(ctx, all)
		return last == nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for the servers to agree on a leader: %w", errors.Join(err, last))
	}
	return leader, nil
}

// survey asks every server once.
func (c *Cluster) survey(ctx context.Context, all bool) (*Node, error) {
	said := make([]status, len(c.nodes))
	errs := make([]error, len(c.nodes))
	var wait sync.WaitGroup
	running := 0
	for i, n := range c.nodes {
		if !n.Running() {
			errs[i] = fmt.Errorf("%s does not run", n.name)
			continue
		}
		running++
		wait.Go(func() { said[i], errs[i] = n.ask(ctx) })
	}
	wait.Wait()
	leader := -1
	for i := range c.nodes {
		if errs[i] != nil || !said[i].leads {
			continue
		}
		if leader >= 0 {
			return nil, fmt.Errorf("%s and %s both take themselves for the leader", c.nodes[leader].name, c.nodes[i].name)
		}
		leader = i
	}
	if leader < 0 {
		return nil, fmt.Errorf("nobody leads: %w", errors.Join(errs...))
	}
	agree := 0
	for i := range c.nodes {
		if errs[i] == nil && (said[i].leader == "" || said[i].leader == said[leader].self) {
			agree++
		}
	}
	if agree <= len(c.nodes)/2 || all && agree < running {
		return nil, fmt.Errorf("%d of %d servers agree on %s: %w", agree, len(c.nodes), c.nodes[leader].name, errors.Join(errs...))
	}
	for _, n := range c.nodes {
		if !all || !n.Running() {
			continue
		}
		votes, err := c.store.votes(ctx, n)
		if err == nil && !votes {
			err = fmt.Errorf("%s has no vote", n.name)
		}
		if err != nil {
			return nil, err
		}
	}
	return c.nodes[leader], nil
}

// NotLeader returns a running server that does not lead, and Leader's error.
func (c *Cluster) NotLeader(ctx context.Context) (*Node, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range c.nodes {
		if n != leader && n.Running() {
			return n, nil
		}
	}
	return nil, fmt.Errorf("no server but the leader, %s, runs", leader.name)
}
