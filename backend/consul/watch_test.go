package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

// watching is a watch and what it showed last.
type watching struct {
	mu    sync.Mutex
	last  []driver.Entry
	calls int
	done  chan error
}

func watch(t *testing.T, d *Driver, target driver.Target) *watching {
	t.Helper()
	w := &watching{done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		w.done <- d.Watch(ctx, target, func(entries []driver.Entry) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.last = entries
			w.calls++
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-w.done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Watch = %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("a watch did not end with its context")
		}
	})
	return w
}

func (w *watching) shows(value string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.last) == 1 && string(w.last[0].Value) == value
}

func (w *watching) empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls > 0 && len(w.last) == 0
}

// TestWatchesShareConnections watches far more targets than may have a
// blocking query each.
func TestWatchesShareConnections(t *testing.T) {
	f := newFake(t)
	const bound, targets = 5, 150
	f.setBefore(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.URL.Path == "/v1/txn" {
			f.tree(w, body)
			return true
		}
		return false
	})
	d := f.open(t, &Options{MaxBlockingQueries: bound}, nil)
	var ws []*watching
	for i := range targets {
		ws = append(ws, watch(t, d, driver.Key(fmt.Sprintf("q/%d/value", i))))
	}
	dir := watch(t, d, driver.Dir("q/3"))
	for i, w := range ws {
		until(t, fmt.Sprintf("watch %d has begun", i), w.empty)
	}
	before, _, _ := f.counts("PUT /v1/txn")
	for i := range ws {
		f.set(fmt.Sprintf("q/%d/value", i), []byte("1"))
	}
	for i, w := range ws {
		until(t, fmt.Sprintf("watch %d saw the create", i), func() bool { return w.shows("1") })
	}
	until(t, "the directory shows it too", func() bool { return dir.shows("1") })
	f.set("q/100/value", []byte("2"))
	f.set("q/3/value", nil)
	f.set("q/140/value", nil)
	until(t, "a put was seen", func() bool { return ws[100].shows("2") })
	until(t, "deletes were seen", func() bool { return ws[3].empty() && ws[140].empty() && dir.empty() })
	after, _, most := f.counts("PUT /v1/txn")
	if most > bound {
		t.Errorf("%d blocking queries at a time, at most %d are allowed", most, bound)
	}
	t.Logf("%d watches, %d changes: %d transactions to read them together", targets+1, targets+3, after-before)
}

// TestWatchesGiveWay bounds the connections below the bound on blocking
// queries: other calls must get through all the same.
func TestWatchesGiveWay(t *testing.T) {
	for _, most := range []int{1, 3} {
		f := newFake(t)
		var s sessions
		f.setBefore(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			if r.URL.Path == "/v1/txn" {
				f.tree(w, body)
				return true
			}
			return s.serve(w, r, body)
		})
		d := f.open(t, nil, &http.Transport{MaxConnsPerHost: most})
		lease, err := d.Grant(t.Context(), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var ws []*watching
		for i := range 8 {
			ws = append(ws, watch(t, d, driver.Key(fmt.Sprintf("q/%d/value", i))))
		}
		for i, w := range ws {
			until(t, fmt.Sprintf("watch %d has begun", i), w.empty)
		}
		for range 3 {
			until(t, "all connections are taken", func() bool { _, n, _ := f.counts(""); return n >= min(most, 1) })
			start := time.Now()
			if _, err := lease.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("with %d connections a renewal took %v while watches held them", most, took)
			}
		}
		for i := range ws {
			f.set(fmt.Sprintf("q/%d/value", i), []byte("1"))
		}
		for i, w := range ws {
			until(t, fmt.Sprintf("watch %d goes on", i), func() bool { return w.shows("1") })
		}
	}
}

// TestWatchAcrossReset puts the store back under watches: the index goes back,
// and Consul's blocking queries would then wait for it to come again.
func TestWatchAcrossReset(t *testing.T) {
	for _, bound := range []int{1, 8} { // behind the prefix watcher, and directly
		f := newFake(t)
		f.setBefore(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			if r.URL.Path == "/v1/txn" {
				f.tree(w, body)
				return true
			}
			return false
		})
		d := f.open(t, &Options{MaxBlockingQueries: bound, Wait: 2 * time.Second}, nil)
		f.set("q/dir/a", []byte("old"))
		f.mu.Lock()
		index, pairs := f.index, maps.Clone(f.pairs)
		f.mu.Unlock()
		key, dir, none := watch(t, d, driver.Key("q/dir/a")), watch(t, d, driver.Dir("q/dir")), watch(t, d, driver.Key("q/dir/b"))
		until(t, "watches have begun", func() bool { return key.shows("old") && dir.shows("old") && none.empty() })
		for range 5 {
			f.set("q/dir/a", []byte("new"))
		}
		f.set("q/dir/b", []byte("new"))
		until(t, "changes are seen", func() bool { return key.shows("new") && none.shows("new") })
		version := key.last[0].Version
		f.replace(index, pairs)
		until(t, "the old state is seen", func() bool { return key.shows("old") && dir.shows("old") && none.empty() })
		f.set("q/dir/a", []byte("newer"))
		until(t, "changes are seen again", func() bool { return key.shows("newer") && dir.shows("newer") })
		if now := d.indexes.mark(); now.generation != version.Generation+1 {
			t.Errorf("generation %d after the store went back, was %d", now.generation, version.Generation)
		}
		var sent atomic.Bool
		f.setBefore(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			if r.URL.Path != "/v1/txn" {
				return false
			}
			var ops api.TxnOps
			_ = json.Unmarshal(body, &ops)
			sent.Store(sent.Load() || ops[0].KV.Verb != api.KVGetTree)
			f.tree(w, body)
			return true
		})
		result, err := d.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Put("q/dir/a", nil, version)}})
		if err != nil || result.Applied || sent.Load() {
			t.Errorf("a commit on a version from before: %+v, %v, sent: %v; want it refused unsent", result, err, sent.Load())
		}
		if e := result.Current["q/dir/a"]; string(e.Value) != "newer" {
			t.Errorf("Current is %v", result.Current)
		}
	}
}
