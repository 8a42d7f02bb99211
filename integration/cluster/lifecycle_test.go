package cluster

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// value is one key of a store, as its own client reads and writes it. Both
// methods try until they succeed or ctx ends.
type value interface {
	set(ctx context.Context, to string) error
	get(ctx context.Context) (string, error)
}

// testCluster takes a cluster of three through what every store must do.
func testCluster(t *testing.T, c *Cluster, v value) {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	run := &lifecycle{t: t, ctx: ctx, c: c, v: v}
	run.set("one")
	run.killLeader()
	run.pauseLeader()
	run.restore()
	run.restartAll()
	run.crash()
}

type lifecycle struct {
	t   *testing.T
	ctx context.Context
	c   *Cluster
	v   value
}

func (l *lifecycle) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lifecycle) set(to string) {
	l.t.Helper()
	l.must(l.v.set(l.ctx, to))
}

func (l *lifecycle) holds(want string) {
	l.t.Helper()
	got, err := l.v.get(l.ctx)
	l.must(err)
	if got != want {
		l.t.Fatalf("the store holds %q, not %q", got, want)
	}
}

func (l *lifecycle) leader() *Node {
	l.t.Helper()
	leader, err := l.c.Leader(l.ctx)
	l.must(err)
	return leader
}

func (l *lifecycle) killLeader() {
	l.t.Helper()
	old := l.leader()
	began := time.Now()
	l.must(old.Kill())
	if old.PID() != 0 || old.Running() {
		l.t.Fatalf("%s runs although it was killed", old.Name())
	}
	if next := l.leader(); next == old {
		l.t.Fatalf("%s leads although it was killed", old.Name())
	}
	l.t.Logf("killed: a new leader after %v", time.Since(began))
	l.set("two")
	began = time.Now()
	l.must(old.Start(l.ctx))
	l.t.Logf("started again: serves after %v", time.Since(began))
	if err := old.Launch(); err == nil {
		l.t.Fatal("one server was launched twice")
	}
	l.must(l.c.WaitReady(l.ctx))
}

func (l *lifecycle) pauseLeader() {
	l.t.Helper()
	old := l.leader()
	pid := old.PID()
	began := time.Now()
	l.must(old.Pause())
	if old.Running() {
		l.t.Fatalf("%s counts as running while it is paused", old.Name())
	}
	if next := l.leader(); next == old {
		l.t.Fatalf("%s leads although it is paused", old.Name())
	}
	l.t.Logf("paused: a new leader after %v", time.Since(began))
	l.must(old.Resume())
	l.must(l.c.WaitReady(l.ctx))
	// A deposed primary of PostgreSQL is made anew.
	if _, anew := l.c.store.(*postgresStore); old.PID() != pid && !anew || !old.Running() {
		l.t.Fatalf("%s is not the process that was paused", old.Name())
	}
	l.holds("two")
}

func (l *lifecycle) restore() {
	l.t.Helper()
	began := time.Now()
	snapshot, err := l.c.Snapshot(l.ctx)
	l.must(err)
	l.t.Logf("a snapshot took %v", time.Since(began))
	l.set("three")
	began = time.Now()
	l.must(snapshot.Restore(l.ctx, false))
	l.t.Logf("a restore took %v", time.Since(began))
	l.holds("two")
	l.set("four")
}

func (l *lifecycle) restartAll() {
	l.t.Helper()
	began := time.Now()
	l.must(l.c.StopAll())
	stopped := time.Since(began)
	l.must(l.c.StartAll(l.ctx))
	l.t.Logf("stopped in order after %v, serve again %v later", stopped, time.Since(began)-stopped)
	l.holds("four")
}

// crash lets a server end by itself, which the cluster must not take for a
// server that starts slowly.
func (l *lifecycle) crash() {
	l.t.Helper()
	n := l.c.Nodes()[0]
	l.must(syscall.Kill(n.PID(), syscall.SIGKILL))
	<-n.proc.exited
	if err := l.c.WaitReady(l.ctx); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		l.t.Fatalf("after a crash WaitReady says: %v", err)
	}
	l.must(n.Start(l.ctx))
	l.holds("four")
	l.must(n.Pause())
	if stopped, err := isStopped(n.PID()); err != nil || !stopped {
		l.t.Errorf("after Pause the server has stopped: %t, %v", stopped, err)
	}
	l.must(n.Kill()) // Also while it is paused.
}

// starts starts a cluster that ends with the test, and logs how long it took.
func starts(t *testing.T, name string, start func() (*Cluster, error)) *Cluster {
	t.Helper()
	began := time.Now()
	c, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d servers serve after %v", name, len(c.Nodes()), time.Since(began))
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for _, n := range c.Nodes() {
			if n.PID() != 0 {
				t.Errorf("%s outlived its cluster", n.Name())
			}
		}
	})
	return c
}

// persistently tries until it succeeds, each time for a second at most.
func persistently(ctx context.Context, try func(context.Context) error) error {
	var last error
	err := poll(ctx, func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		last = try(ctx)
		return last == nil, nil
	})
	if err != nil {
		return last
	}
	return nil
}
