// Package partition tests package partition with real processes on real
// clusters: that no two run a slot at a time, whatever becomes of them.
package partition

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/integration/cluster"
)

// system is a store under test.
type system struct {
	ttl, expiry time.Duration // expiry: the longest that a session lives that is not renewed
	start       func() (*cluster.Cluster, error)
	// open makes a Store; it leaves what it opened to the end of the process.
	open func(addrs []string, opts *backend.Options) (*backend.Store, error)
}

var stores = map[string]system{}

func TestMain(m *testing.M) {
	if arg := os.Getenv(workerEnv); arg != "" {
		os.Exit(runWorker(arg))
	}
	os.Exit(m.Run())
}

// rig is a cluster with workers in processes of their own.
type rig struct {
	t       *testing.T
	name    string
	system  system
	slots   int
	cluster *cluster.Cluster
	dir     string

	mu      sync.Mutex
	workers []*worker // all that were ever started
	history *history
}

func startRig(t *testing.T, name string, slots int) *rig {
	t.Helper()
	r := &rig{t: t, name: name, system: stores[name], slots: slots, dir: t.TempDir(), history: newHistory()}
	var err error
	if r.cluster, err = r.system.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// worker is a process.
type worker struct {
	id      string // of the member
	process int
	cmd     *exec.Cmd
	stdin   io.Closer
	log     string
	journal reader
	done    chan struct{}
	err     error // of its end
	stopped int64 // when it was, in monotonic time; 0 if it is not
}

// start starts a worker. It may be called by several goroutines.
func (r *rig) start(id string) (*worker, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.workers)
	w := &worker{id: id, process: n, done: make(chan struct{})}
	w.log = filepath.Join(r.dir, fmt.Sprintf("log-%d", n))
	w.journal.path = filepath.Join(r.dir, fmt.Sprintf("journal-%d", n))
	arg, err := json.Marshal(task{
		Store: r.name, Addrs: r.cluster.Addrs(), TTL: r.system.ttl, ID: id, Slots: r.slots, Out: w.journal.path,
	})
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logFile, err := os.Create(w.log)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	w.cmd = exec.Command(exe)
	w.cmd.Env = append(os.Environ(), workerEnv+"="+string(arg))
	w.cmd.Stderr = logFile
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		w.err = w.cmd.Wait()
		close(w.done)
	}()
	r.t.Cleanup(func() {
		w.kill()
		if content, _ := os.ReadFile(w.log); r.t.Failed() {
			r.t.Logf("log of process %d of %s:\n%s", n, id, content[max(0, len(content)-1500):])
		}
	})
	r.workers = append(r.workers, w)
	return w, nil
}

func (w *worker) kill() {
	_ = w.cmd.Process.Kill()
	<-w.done
}

// stop stops a worker; resume lets it go on, and notes for how long it stood.
func (w *worker) stop() error {
	w.stopped = monotonic()
	return w.cmd.Process.Signal(syscall.SIGSTOP)
}

func (r *rig) resume(w *worker) error {
	err := w.cmd.Process.Signal(syscall.SIGCONT)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.pauses[w.process] = append(r.history.pauses[w.process], [2]int64{w.stopped, monotonic()})
	return err
}

// read reads what the workers have written since.
func (r *rig) read() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.workers {
		lines, err := w.journal.next()
		if err != nil {
			r.t.Fatal(err)
		}
		for _, l := range lines {
			r.history.add(w.id, w.process, l)
		}
	}
}

// settled returns an error unless each slot is run, by one worker, and the
// shares are equal to within one slot.
func (r *rig) settled(members int) error {
	r.read()
	owners := r.history.owners(monotonic())
	share := make(map[string]int)
	for k := range r.slots {
		if len(owners[k]) != 1 {
			return fmt.Errorf("slot %d is run by %q", k, owners[k])
		}
		share[owners[k][0]]++
	}
	shares := slices.Sorted(maps.Values(share))
	if len(shares) != members || shares[len(shares)-1]-shares[0] > 1 {
		return fmt.Errorf("the shares are %v", share)
	}
	return nil
}

// settle waits until things are settled, and returns how long it took.
func (r *rig) settle(members int, patience time.Duration, what string) (took time.Duration) {
	r.t.Helper()
	began := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := r.settled(members)
		took = time.Since(began)
		if err == nil {
			return took
		}
		if took > patience {
			r.t.Fatalf("not within %v %s: %v", patience, what, err)
		}
		<-tick.C
	}
}
