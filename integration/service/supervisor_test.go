// Package service runs examples/service as an orchestrator does, by what its
// manifests say.
package service

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
)

// build builds examples/service once.
func build(t *testing.T) string {
	t.Helper()
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

var buildDir string

var buildOnce = sync.OnceValues(func() (string, error) {
	program := filepath.Join(buildDir, "service")
	cmd := exec.Command("go", "build", "-o", program, "./service")
	cmd.Dir = filepath.Join("..", "..", "examples")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building examples/service: %w\n%s", err, out)
	}
	return program, nil
})

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "quorate-service-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

// replica is one place in which a supervisor keeps the service running.
type replica struct {
	t        *testing.T
	manifest manifest
	args     []string
	addr     string
	log      string
	starts   atomic.Int64
	pid      atomic.Int64
	stopping atomic.Bool
	ended    chan int // exit codes, -1 for a signal
	gone     chan struct{}
}

// keep starts the service, and again whenever it ends, as the manifest says.
func keep(t *testing.T, name string, m manifest, store string) *replica {
	t.Helper()
	program := build(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	r := &replica{
		t: t, manifest: m, addr: addr, log: filepath.Join(t.TempDir(), name+".log"),
		args:  []string{program, "-store", store, "-listen", addr, "-ttl", "3s"},
		ended: make(chan int, 100), gone: make(chan struct{}),
	}
	go r.loop()
	t.Cleanup(func() {
		r.stopping.Store(true)
		if pid := r.pid.Load(); pid != 0 {
			_ = syscall.Kill(int(pid), syscall.SIGKILL)
		}
		<-r.gone
		if t.Failed() {
			content, _ := os.ReadFile(r.log)
			t.Logf("log of %s:\n%s", name, content[max(0, len(content)-4000):])
		}
	})
	return r
}

func (r *replica) loop() {
	defer close(r.gone)
	for {
		code, err := r.once()
		if err != nil {
			r.t.Errorf("starting the service: %v", err)
			return
		}
		r.ended <- code
		if r.stopping.Load() || !r.manifest.always {
			return
		}
		delay := time.NewTimer(r.manifest.delay)
		<-delay.C
		if r.stopping.Load() {
			return
		}
	}
}

func (r *replica) once() (code int, err error) {
	out, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	cmd := exec.Command(r.args[0], r.args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	r.starts.Add(1)
	r.pid.Store(int64(cmd.Process.Pid))
	_ = cmd.Wait()
	r.pid.Store(0)
	return cmd.ProcessState.ExitCode(), nil
}

// stop ends the replica as an orchestrator does: SIGTERM, the grace period,
// SIGKILL. It returns the exit code, -1 if it came to SIGKILL.
func (r *replica) stop() (code int, took time.Duration) {
	r.t.Helper()
	r.stopping.Store(true)
	began := time.Now()
	if err := syscall.Kill(int(r.pid.Load()), syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	grace := time.NewTimer(r.manifest.grace)
	defer grace.Stop()
	select {
	case code = <-r.ended:
	case <-grace.C:
		_ = syscall.Kill(int(r.pid.Load()), syscall.SIGKILL)
		code = <-r.ended
	}
	return code, time.Since(began)
}

// get asks the service; status is 0 if it does not answer.
func (r *replica) get(path string) (status int, text string) {
	client := http.Client{Timeout: 2 * time.Second}
	reply, err := client.Get("http://" + r.addr + path)
	if err != nil {
		return 0, err.Error()
	}
	defer reply.Body.Close()
	body, _ := io.ReadAll(reply.Body)
	return reply.StatusCode, strings.TrimSpace(string(body))
}

func (r *replica) progress() int {
	_, text := r.get("/progress")
	n, _ := strconv.Atoi(text)
	return n
}

// until waits until is.
func until(t *testing.T, patience time.Duration, what string, is func() bool) {
	t.Helper()
	if !within(patience, is) {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

func within(patience time.Duration, is func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func etcd(t *testing.T) (c *cluster.Cluster, url string) {
	t.Helper()
	c, err := cluster.StartEtcd(cluster.EtcdConfig{Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, "etcd://" + strings.Join(c.Addrs(), ",")
}

// TestStartedBeforeItsStore: the service is up 10 s before its store is, says
// so, and does its work then, without a restart.
func TestStartedBeforeItsStore(t *testing.T) {
	c, url := etcd(t)
	if err := c.KillAll(); err != nil {
		t.Fatal(err)
	}
	r := keep(t, "service", kubernetes(t), url)
	until(t, 10*time.Second, "it is live", func() bool { status, _ := r.get("/live"); return status == http.StatusOK })
	later := time.NewTimer(10 * time.Second)
	defer later.Stop()
	for waiting := true; waiting; {
		if status, text := r.get("/ready"); status != http.StatusServiceUnavailable || text != "starting" {
			t.Errorf("without its store: ready %d %q", status, text)
		}
		if status, text := r.get("/live"); status != http.StatusOK {
			t.Errorf("without its store: live %d %q", status, text)
		}
		tick := time.NewTimer(500 * time.Millisecond)
		select {
		case <-later.C:
			waiting = false
		case <-tick.C:
		}
	}
	if err := c.StartAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, 30*time.Second, "it works", func() bool { return r.progress() > 10 })
	if status, text := r.get("/ready"); status != http.StatusOK {
		t.Errorf("with its store: ready %d %q", status, text)
	}
	// And an outage later on is none of the probes' business.
	if err := c.KillAll(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/live", "/ready"} {
		if status, text := r.get(path); status != http.StatusOK {
			t.Errorf("in an outage: %s %d %q", path, status, text)
		}
	}
	before := r.progress()
	if err := c.StartAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, 40*time.Second, "it works again", func() bool { return r.progress() > before+10 })
	if n := r.starts.Load(); n != 1 {
		t.Errorf("it was started %d times", n)
	}
	content, err := os.ReadFile(r.log)
	if err != nil {
		t.Fatal(err)
	}
	if log := string(content); !strings.Contains(log, "msg=waiting") || !strings.Contains(log, "store of example") {
		t.Error("its log does not say what it waited for")
	}
}

// TestSupervised runs two replicas by each manifest: the one that works is
// killed, comes back, and the work goes on where it was; then both are told to
// stop, and have done so in order within the grace period.
func TestSupervised(t *testing.T) {
	for _, name := range []string{"kubernetes", "compose", "systemd"} {
		t.Run(name, func(t *testing.T) {
			_, url := etcd(t)
			m := manifests[name](t)
			a, b := keep(t, "first", m, url), keep(t, "second", m, url)
			works := func(r *replica, than int) func() bool { return func() bool { return r.progress() > than } }
			until(t, 30*time.Second, "one works", func() bool { return works(a, 20)() || works(b, 20)() })
			if b.progress() > 20 {
				a, b = b, a
			}
			before := a.progress()
			if err := syscall.Kill(int(a.pid.Load()), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if code := <-a.ended; code != -1 {
				t.Errorf("killed, it ended with code %d", code)
			}
			until(t, 30*time.Second, "the other goes on", works(b, before+10))
			until(t, 30*time.Second, "the one that was killed is back", func() bool { status, _ := a.get("/ready"); return status == http.StatusOK })
			if a.starts.Load() != 2 || b.starts.Load() != 1 {
				t.Errorf("they were started %d and %d times, want 2 and 1", a.starts.Load(), b.starts.Load())
			}

			before = b.progress()
			drained := make(chan bool, 1)
			go func() {
				drained <- within(5*time.Second, func() bool {
					status, text := b.get("/ready")
					return status == http.StatusServiceUnavailable && strings.HasPrefix(text, "draining: signal: terminated")
				})
			}()
			code, took := b.stop()
			if !<-drained {
				t.Error("it was not seen to be unready while it drained")
			}
			if code != 0 || took > m.grace {
				t.Errorf("told to stop, it ended with code %d after %v", code, took)
			}
			began := time.Now()
			until(t, 30*time.Second, "the other goes on", works(a, before+10))
			// It left in order: nobody had to wait for its TTL of 3 s. What is
			// counted in are the ten items, 50 ms each, and a busy machine.
			if took := time.Since(began); took > 2500*time.Millisecond {
				t.Errorf("the other took %v to go on", took)
			}
			if code, took := a.stop(); code != 0 || took > m.grace {
				t.Errorf("told to stop, it ended with code %d after %v", code, took)
			}
		})
	}
}
