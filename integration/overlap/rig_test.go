// Package overlap measures, with real processes on real clusters, whether two
// ever lead at once.
package overlap

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/integration/cluster"
)

// system is a store under test.
type system struct {
	ttl, tick time.Duration
	start     func(tick time.Duration) (*cluster.Cluster, error)
	// open makes the Store of a candidate process; it leaves what it opened to
	// the end of the process.
	open func(tk task, opts *backend.Options) (*backend.Store, error)
	// stock runs the store's own recipe.
	stock func(ctx context.Context, tk task, j *journal) error
	// expiry is the longest that the store keeps a session that is not renewed.
	expiry time.Duration
}

var stores = map[string]system{}

func TestMain(m *testing.M) {
	if arg := os.Getenv(candidateEnv); arg != "" {
		os.Exit(runCandidate(arg))
	}
	os.Exit(m.Run())
}

// rounds is how many rounds of each fault to run.
func rounds(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("QUORATE_ROUNDS"))
	if err != nil {
		return 1
	}
	return n
}

// rig is a cluster with candidates in processes of their own.
type rig struct {
	name    string
	system  system
	cluster *cluster.Cluster
}

func startRig(t *testing.T, name string) *rig {
	t.Helper()
	s := stores[name]
	c, err := s.start(s.tick)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{name: name, system: s, cluster: c}
}

// contest is two candidates, of which the first leads.
type contest struct {
	rig   *rig
	both  [2]*candidate
	dir   string
	stock bool
}

type candidate struct {
	who     int
	cmd     *exec.Cmd
	stdin   io.Closer
	done    chan struct{}
	out     string
	errors  string
	proxies *cluster.Proxies
}

// contest starts two candidates for an election of the given name. The first
// reaches only the given nodes, if any are given.
func (r *rig) contest(t *testing.T, name string, tk task, firstVia ...*cluster.Node) *contest {
	t.Helper()
	c := &contest{rig: r, dir: t.TempDir(), stock: tk.Stock}
	tk.Store, tk.TTL, tk.Tick, tk.Name = r.name, r.system.ttl, r.system.tick, name
	for i := range c.both {
		c.both[i] = r.candidate(t, i, c.dir, tk, firstVia...)
		if firstVia = nil; i == 0 {
			c.await(t, 20*time.Second, "the first leads", func(v verdict) bool { return v.beats > 0 })
		}
	}
	return c
}

func (r *rig) candidate(t *testing.T, who int, dir string, tk task, via ...*cluster.Node) *candidate {
	t.Helper()
	addrs := r.cluster.Addrs()
	if len(via) > 0 {
		addrs = nil
		for _, n := range via {
			addrs = append(addrs, n.Addr())
		}
	}
	proxies, err := cluster.NewProxiesTo(addrs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxies.Close)
	c := &candidate{who: who, proxies: proxies, done: make(chan struct{})}
	c.out = filepath.Join(dir, fmt.Sprintf("journal-%d", who))
	c.errors = filepath.Join(dir, fmt.Sprintf("log-%d", who))
	tk.Addrs, tk.Out = proxies.Addrs(), c.out
	arg, err := json.Marshal(tk)
	if err != nil {
		t.Fatal(err)
	}
	logFile, err := os.Create(c.errors)
	if err != nil {
		t.Fatal(err)
	}
	defer logFile.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd = exec.Command(exe)
	c.cmd.Env = append(os.Environ(), candidateEnv+"="+string(arg))
	c.cmd.Stderr = logFile
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.done)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.done
		if t.Failed() {
			content, _ := os.ReadFile(c.errors)
			t.Logf("log of candidate %d:\n%s", who, lastLines(string(content), 30))
		}
	})
	return c
}

func lastLines(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (c *candidate) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// lines returns what has been written so far.
func (c *contest) lines(t testing.TB) []line {
	t.Helper()
	var all []line
	for _, cand := range c.both {
		if cand != nil {
			all = append(all, readJournal(t, cand.who, cand.out)...)
		}
	}
	return all
}

// await waits until the journals satisfy is.
func (c *contest) await(t testing.TB, patience time.Duration, what string, is func(verdict) bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		v := judge(c.lines(t), false)
		if is(v) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s (%v)", patience, what, v)
		}
	}
}

// succeeded waits until the other candidate leads, and then a little, so that
// an old leader that goes on shows.
func (c *contest) succeeded(t testing.TB) {
	t.Helper()
	c.await(t, 3*c.rig.system.expiry+10*time.Second, "the other leads", func(v verdict) bool { return v.tenures > 1 })
	pause(c.rig.system.ttl)
	c.both[0].proxies.HealReset()
	if !c.stock {
		c.await(t, 3*c.rig.system.expiry+10*time.Second, "the old term's write is refused", func(v verdict) bool { return v.fenced > 0 })
	}
}

// stop ends both candidates.
func (c *contest) stop(t testing.TB) {
	t.Helper()
	for _, cand := range c.both {
		cand.proxies.HealReset()
		cand.signal(t, syscall.SIGCONT)
		cand.stdin.Close()
		select {
		case <-cand.done:
		case <-time.After(15 * time.Second):
			report := t.Errorf
			if c.stock { // such as zk.Lock, after a pause in which its session expired
				report = t.Logf
			}
			report("candidate %d does not end", cand.who)
			_ = cand.cmd.Process.Kill()
			<-cand.done
		}
	}
}
