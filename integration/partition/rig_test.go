// Package partition tests package partition with real processes on real
// clusters: that no two run a slot at a time, whatever becomes of them.
package partition

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

// ttl is that of the workers' sessions.
const ttl = 3 * time.Second

func TestMain(m *testing.M) { harness.Main(m, runWorker) }

// rig is a cluster with workers in processes of their own.
type rig struct {
	t       *testing.T
	store   harness.Store
	slots   int
	cluster *cluster.Cluster
	dir     string

	mu      sync.Mutex // guards what follows
	workers []*worker  // all that were ever started
	history *history
}

func startRig(t *testing.T, store harness.Store, slots int) *rig {
	t.Helper()
	return &rig{t: t, store: store, slots: slots, cluster: store.Cluster(t), dir: t.TempDir(), history: newHistory()}
}

// expiry is the longest that a session lives that is not renewed.
func (r *rig) expiry() time.Duration { return r.store.Expiry(ttl) }

// worker is a process.
type worker struct {
	*harness.Process
	id      string // of the member
	number  int
	journal reader
	stopped int64 // when it was, in monotonic time; 0 if it is not
}

// start starts a worker. It may be called by several goroutines.
func (r *rig) start(id string) (*worker, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.workers)
	w := &worker{id: id, number: n}
	w.journal.Path = filepath.Join(r.dir, fmt.Sprintf("journal-%d", n))
	var err error
	w.Process, err = harness.StartProcess(r.dir, strconv.Itoa(n), task{
		Store: r.store.Name, Addrs: r.cluster.Addrs(), ID: id, Slots: r.slots, Out: w.journal.Path,
	})
	if err != nil {
		return nil, err
	}
	r.t.Cleanup(func() {
		_ = w.Kill()
		if r.t.Failed() {
			r.t.Logf("log of process %d of %s:\n%s", n, id, w.Tail(1500))
		}
	})
	r.workers = append(r.workers, w)
	return w, nil
}

// stop stops a worker; resume lets it go on, and notes for how long it stood.
func (w *worker) stop() error {
	w.stopped = harness.Now()
	return w.Stop()
}

func (r *rig) resume(w *worker) error {
	err := w.Resume()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.pauses[w.number] = append(r.history.pauses[w.number], [2]int64{w.stopped, harness.Now()})
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
			r.history.add(w.id, w.number, l)
		}
	}
}

// settled returns an error unless each slot is run, by one worker, and the
// shares are equal to within one slot.
func (r *rig) settled(members int) error {
	r.read()
	owners := r.history.owners(harness.Now())
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
