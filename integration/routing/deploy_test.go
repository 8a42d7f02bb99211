// Package routing tests package route with real processes on a real cluster: that
// requests survive a deploy, and none is executed by two owners.
package routing

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/route"
	"github.com/quorate/quorate/route/httproute"
)

func TestMain(m *testing.M) { harness.Main(m, runWorker) }

const (
	workers = 20
	wave    = 5 // how many are replaced at a time
	callers = 4
	// pace is the pause of a caller between two requests.
	pace = 10 * time.Millisecond
	// patience bounds each wait.
	patience = 90 * time.Second
)

// worker is a process, and what it has written.
type worker struct {
	*harness.Process
	id      string
	journal harness.JournalReader
	ready   bool
	lines   []string
}

// rig is a cluster with workers.
type rig struct {
	t       *testing.T
	store   harness.Store
	cluster *cluster.Cluster
	dir     string
	workers []*worker
}

// start starts workers, and waits until they have joined.
func (r *rig) start(ids ...string) (started []*worker) {
	r.t.Helper()
	for _, id := range ids {
		w := &worker{id: id}
		w.journal.Path = filepath.Join(r.dir, "journal-"+id)
		var err error
		w.Process, err = harness.StartProcess(r.dir, id, task{Store: r.store.Name, Addrs: r.cluster.Addrs(), ID: id, Out: w.journal.Path})
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() {
			_ = w.Kill()
			if r.t.Failed() {
				r.t.Logf("log of %s:\n%s", w.id, w.Tail(1500))
			}
		})
		started = append(started, w)
		r.workers = append(r.workers, w)
	}
	r.until("the workers have joined", func() bool {
		r.read()
		return !slices.ContainsFunc(started, func(w *worker) bool { return !w.ready })
	})
	return started
}

// read reads what the workers have written since.
func (r *rig) read() {
	r.t.Helper()
	for _, w := range r.workers {
		lines, err := w.journal.Next()
		if err != nil {
			r.t.Fatal(err)
		}
		for _, line := range lines {
			if line == ready {
				w.ready = true
			} else {
				w.lines = append(w.lines, line)
			}
		}
	}
}

func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			r.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// answers is what callers were told.
type answers struct {
	mu        sync.Mutex
	succeeded map[string]bool // by ID
	failed    map[string]string
}

// call sends requests until ctx ends.
func (a *answers) call(ctx context.Context, client *http.Client, caller int) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%d-%d", caller, n)
		why := post(ctx, client, id)
		a.mu.Lock()
		if why == "" {
			a.succeeded[id] = true
		} else {
			a.failed[id] = why
		}
		a.mu.Unlock()
		<-tick.C
	}
}

// post sends a request, and returns why it failed. It is not cut off by ctx.
func post(ctx context.Context, client *http.Client, id string) (why string) {
	call, cancel := context.WithTimeout(route.WithKey(context.WithoutCancel(ctx), id), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(call, http.MethodPost, "http://orders/charge", strings.NewReader(id))
	if err != nil {
		return err.Error()
	}
	req.Header.Set(idHeader, id)
	response, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return fmt.Sprint(response.Status, ": ", string(text))
	}
	return ""
}

// TestRollingDeploy replaces 20 workers while callers send requests.
func TestRollingDeploy(t *testing.T) {
	// Catches: a request that is refused and passes for executed, one that is
	// executed by two owners, two owners of a token, a deploy that refuses callers.
	r := &rig{t: t, store: harness.Stores["etcd"], dir: t.TempDir()}
	r.cluster = r.store.Cluster(t)
	store, err := r.store.Open(r.cluster.Addrs(), &backend.Options{Namespace: "routing", TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	router, err := partition.NewRouter(store.Store, name)
	if err != nil {
		t.Fatal(err)
	}
	connections := &http.Transport{MaxIdleConnsPerHost: callers}
	t.Cleanup(connections.CloseIdleConnections)
	transport, err := httproute.NewTransport(router, &httproute.Options{Base: connections, Wait: ttl})
	if err != nil {
		t.Fatal(err)
	}
	var old []string
	for i := range workers {
		old = append(old, fmt.Sprint("old-", i))
	}
	running := r.start(old...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	a := &answers{succeeded: make(map[string]bool), failed: make(map[string]string)}
	var calling sync.WaitGroup
	for c := range callers {
		calling.Go(func() { a.call(ctx, &http.Client{Transport: transport}, c) })
	}
	began := time.Now()
	for first := 0; first < workers; first += wave {
		var next []string
		for i := range wave {
			next = append(next, fmt.Sprint("new-", first+i))
		}
		r.start(next...)
		var ending sync.WaitGroup
		for _, w := range running[first : first+wave] {
			ending.Go(func() {
				if err := w.End(patience); err != nil {
					t.Errorf("%s: %v", w.id, err)
				}
			})
		}
		ending.Wait()
	}
	took := time.Since(began)
	r.until("every new worker has executed a request", func() bool {
		r.read()
		return !slices.ContainsFunc(r.workers[workers:], func(w *worker) bool { return len(w.lines) == 0 })
	})
	stop()
	calling.Wait()
	r.read()
	r.judge(a, took)
}

// judge compares what the callers were told with what the workers did.
func (r *rig) judge(a *answers, took time.Duration) {
	r.t.Helper()
	executed := make(map[string]string) // by ID of the request
	owners := make(map[string]string)   // by slot and token
	for _, w := range r.workers {
		for _, line := range w.lines {
			var id string
			var slot int
			var token uint64
			if _, err := fmt.Sscan(line, &id, &slot, &token); err != nil {
				r.t.Fatalf("%s: %q: %v", w.id, line, err)
			}
			if other, twice := executed[id]; twice {
				r.t.Errorf("request %s was executed by %s and by %s", id, other, w.id)
			}
			executed[id] = w.id
			tenure := fmt.Sprintf("slot %d, token %d", slot, token)
			if other := owners[tenure]; other != "" && other != w.id {
				r.t.Errorf("%s: %s and %s executed requests", tenure, other, w.id)
			}
			owners[tenure] = w.id
		}
	}
	for id := range a.succeeded {
		if executed[id] == "" {
			r.t.Errorf("request %s succeeded, and nobody executed it", id)
		}
	}
	reasons := make(map[string]int)
	for _, why := range a.failed {
		reasons[why]++
	}
	r.t.Logf("%d workers replaced in %v: %d requests succeeded, %d failed %v; %d tenures of %d slots",
		workers, took.Round(time.Millisecond), len(a.succeeded), len(a.failed), reasons, len(owners), slots)
	if all := len(a.succeeded) + len(a.failed); len(a.failed)*100 > all {
		r.t.Errorf("%d of %d requests failed, want 1 %% at most", len(a.failed), all)
	}
}
