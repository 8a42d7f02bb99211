package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// stopTimeout bounds a graceful stop, after which the server is killed.
const stopTimeout = 15 * time.Second

// pollInterval is how often a server that is not there yet is asked again.
const pollInterval = 20 * time.Millisecond

// Node is one server of a cluster: a process of its own. Its methods may be
// called concurrently.
type Node struct {
	cluster *Cluster
	index   int
	name    string
	dir     string // Configuration, log and data.
	ports   []int  // The meaning is the store's; ports[0] is the clients'.

	mu     sync.Mutex
	proc   *process
	paused bool
	edit   func(string) string // of the configuration, nil if none
	joins  bool                // a cluster that is there (etcd)
}

// Index is the node's place in Cluster.Nodes.
func (n *Node) Index() int { return n.index }

// Name names the node, as it does to the other servers where they have names.
func (n *Node) Name() string { return n.name }

// Addr is the address for clients, as host:port. It stays the same for the
// life of the cluster.
func (n *Node) Addr() string { return hostPort(n.ports[0]) }

// SecureAddr is the address for clients that use TLS, as host:port; empty if
// the cluster was not told to have one.
func (n *Node) SecureAddr() string {
	if i := n.cluster.store.securePort(); i > 0 {
		return hostPort(n.ports[i])
	}
	return ""
}

// Log names the file that the server's output goes to.
func (n *Node) Log() string { return filepath.Join(n.dir, "log") }

// DataDir names the directory that holds the server's data.
func (n *Node) DataDir() string { return filepath.Join(n.dir, "data") }

// PID is the server's process, 0 when it does not run.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.runs() {
		return 0
	}
	return n.proc.cmd.Process.Pid
}

// runs reports whether there is a process, paused or not. The lock is held.
func (n *Node) runs() bool { return n.proc != nil && n.proc.alive() }

// Running reports whether the server runs and is not paused.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.runs() && !n.paused
}

// Launch starts the server on the data that it has, and does not wait for it
// to serve. It is an error if it runs already.
func (n *Node) Launch() error { return n.launch(nil) }

func (n *Node) launch(edit func(config string) string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.begin(edit)
}

// begin is launch with the lock held.
func (n *Node) begin(edit func(config string) string) error {
	n.edit = edit
	defer func() { n.edit = nil }()
	if n.runs() {
		return fmt.Errorf("%s runs already", n.name)
	}
	if err := os.MkdirAll(n.DataDir(), 0o700); err != nil {
		return fmt.Errorf("making the data directory of %s: %w", n.name, err)
	}
	cmd, err := n.cluster.store.command(n)
	if err != nil {
		return err
	}
	proc, err := n.cluster.forker.start(cmd, n.Log())
	if err != nil {
		return fmt.Errorf("launching %s: %w", n.name, err)
	}
	n.proc, n.paused = proc, false
	return nil
}

// LaunchWrong launches the server as Launch does, with a configuration that
// somebody got wrong: edit is given the right one. The next start is right
// again.
func (n *Node) LaunchWrong(edit func(config string) string) error { return n.launch(edit) }

// Start starts the server on the data that it has, at the same ports, and
// returns when it serves: when it has found its place in a quorum. It fails
// when ctx ends or the process does.
func (n *Node) Start(ctx context.Context) error {
	if err := n.Launch(); err != nil {
		return err
	}
	return n.awaitServing(ctx)
}

func (n *Node) awaitServing(ctx context.Context) error {
	var last error
	err := poll(ctx, func() (bool, error) {
		if err := n.crashed(); err != nil {
			return false, err
		}
		_, last = n.ask(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to serve: %w", n.name, errors.Join(err, last))
	}
	return nil
}

// crashed says how a process ended that nobody stopped.
func (n *Node) crashed() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil || n.proc.alive() {
		return nil
	}
	return fmt.Errorf("%s ended by itself: %w; its last output:\n%s", n.name, n.proc.err, tail(n.Log()))
}

// Kill kills the server with SIGKILL and returns when it is gone. Killing one
// that does not run does nothing.
func (n *Node) Kill() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.end(syscall.SIGKILL)
}

// relaunch kills a server that runs and starts it again. One that does not run,
// or is paused, stays as it is.
func (n *Node) relaunch() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.runs() || n.paused {
		return nil
	}
	if err := n.end(syscall.SIGKILL); err != nil {
		return err
	}
	return n.begin(nil)
}

// quit ends the server for good: at once, but so that nothing of it is left in
// the kernel. PostgreSQL that is killed leaves a segment of shared memory.
func (n *Node) quit() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.cluster.store.(*postgresStore); ok {
		return n.end(syscall.SIGQUIT)
	}
	return n.end(syscall.SIGKILL)
}

// Stop lets the server end in order, and kills it if that takes longer than
// stopTimeout. A paused server is resumed for it. Stopping one that does not
// run does nothing.
func (n *Node) Stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.end(n.cluster.store.stopSignal())
}

func (n *Node) end(sig syscall.Signal) error {
	proc := n.proc
	if proc == nil {
		return nil
	}
	if err := proc.signal(sig); err != nil {
		return err
	}
	if sig != syscall.SIGKILL {
		if err := proc.signal(syscall.SIGCONT); err != nil {
			return err
		}
		timeout := time.NewTimer(stopTimeout)
		defer timeout.Stop()
		select {
		case <-proc.exited:
		case <-timeout.C:
			if err := proc.signal(syscall.SIGKILL); err != nil {
				return err
			}
		}
	}
	<-proc.exited
	n.proc, n.paused = nil, false
	return nil
}

// Pause stops the server's process with SIGSTOP, and returns when it has stopped: it
// keeps its connections and answers nothing. The kernel goes on accepting
// connections for it.
func (n *Node) Pause() error { return n.freeze(syscall.SIGSTOP, true) }

// Resume lets a paused server go on with SIGCONT, unaware of the pause.
func (n *Node) Resume() error { return n.freeze(syscall.SIGCONT, false) }

func (n *Node) freeze(sig syscall.Signal, paused bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.runs() {
		return fmt.Errorf("%s does not run", n.name)
	}
	if err := n.proc.signal(sig); err != nil {
		return err
	}
	n.paused = paused
	if !paused {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return poll(ctx, func() (bool, error) { return isStopped(n.proc.cmd.Process.Pid) })
}

// Wipe removes the data of a server that does not run: it starts afresh.
// etcd does not let a member come back that way while the others go on: wipe
// all of a cluster, or Replace the one.
func (n *Node) Wipe() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.runs() {
		return fmt.Errorf("%s runs: stop it before it is wiped", n.name)
	}
	if err := os.RemoveAll(n.DataDir()); err != nil {
		return fmt.Errorf("wiping %s: %w", n.name, err)
	}
	n.joins = false
	return nil
}

// Replace puts a new server in the place of one that has lost its data, or
// its membership, as the store's documentation says, and returns when it
// serves and counts in the quorum.
func (n *Node) Replace(ctx context.Context) error {
	if err := n.Kill(); err != nil {
		return err
	}
	if err := n.Wipe(); err != nil {
		return err
	}
	if err := n.cluster.store.readmit(ctx, n); err != nil {
		return fmt.Errorf("readmitting %s: %w", n.name, err)
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	err := poll(ctx, func() (bool, error) { return n.cluster.store.votes(ctx, n) })
	if err != nil {
		return fmt.Errorf("waiting for the vote of %s: %w", n.name, err)
	}
	return nil
}

// Expel takes the server's membership away while it runs, where the store has
// that.
func (n *Node) Expel(ctx context.Context) error {
	if err := n.cluster.store.expel(ctx, n); err != nil {
		return fmt.Errorf("expelling %s: %w", n.name, err)
	}
	return nil
}

// edited returns a configuration as it is to be.
func (n *Node) edited(config string) string {
	if n.edit == nil {
		return config
	}
	return n.edit(config)
}

// Serves returns an error unless the server runs and has its place in a
// quorum now.
func (n *Node) Serves(ctx context.Context) error {
	if !n.Running() {
		return fmt.Errorf("%s does not run", n.name)
	}
	_, err := n.ask(ctx)
	return err
}

// ask asks the server what it takes itself and its cluster for.
func (n *Node) ask(ctx context.Context) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return n.cluster.store.ask(ctx, n)
}

// poll calls done until it is true or fails, or ctx ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok, err := done(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
