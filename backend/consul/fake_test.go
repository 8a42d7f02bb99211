package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// fake is as much of a Consul agent as the tests of this module need: a KV
// store with blocking queries, and whatever a test puts before it.
type fake struct {
	*httptest.Server

	mu       sync.Mutex
	index    uint64
	pairs    map[string]*api.KVPair
	changed  chan struct{} // closed with each change
	restored chan struct{} // closed with each restore: blocking queries end
	waiting  int           // blocking queries under way
	most     int           // of them, ever
	asked    []string      // method and URI of each request
	// before, if set, may answer a request itself.
	before func(w http.ResponseWriter, r *http.Request, body []byte) (done bool)
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{index: 10, pairs: make(map[string]*api.KVPair), changed: make(chan struct{}), restored: make(chan struct{})}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// open returns a driver to it; the transport is the test's to change.
func (f *fake) open(t *testing.T, options *Options, transport *http.Transport) *Driver {
	t.Helper()
	config := api.DefaultConfig()
	config.Address = f.URL
	if transport != nil {
		config.Transport = transport
	}
	t.Cleanup(config.Transport.CloseIdleConnections)
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDriver(client, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// set writes a key, or deletes it when value is nil.
func (f *fake) set(key string, value []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index++
	if value == nil {
		delete(f.pairs, key)
	} else {
		p := &api.KVPair{Key: key, Value: value, CreateIndex: f.index, ModifyIndex: f.index}
		if was := f.pairs[key]; was != nil {
			p.CreateIndex = was.CreateIndex
		}
		f.pairs[key] = p
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// replace puts the store back to pairs, at index, as a restore does: blocking
// queries return as they are.
func (f *fake) replace(index uint64, pairs map[string]*api.KVPair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index, f.pairs = index, pairs
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) setBefore(before func(w http.ResponseWriter, r *http.Request, body []byte) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

// counts returns how many requests began with prefix, and the blocking queries
// under way and at most.
func (f *fake) counts(prefix string) (asked, waiting, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.asked {
		if strings.HasPrefix(a, prefix) {
			asked++
		}
	}
	return asked, f.waiting, f.most
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI())
	before := f.before
	f.mu.Unlock()
	if before != nil && before(w, r, body) {
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/v1/kv/")
	if !ok || r.Method != http.MethodGet {
		http.Error(w, "no such thing here: "+r.URL.Path, http.StatusNotFound)
		return
	}
	q := r.URL.Query()
	if !q.Has("consistent") {
		http.Error(w, "a read that is not consistent", http.StatusTeapot)
		return
	}
	f.kv(w, r, key, q.Has("recurse") || q.Has("keys"), q.Has("keys"))
}

func (f *fake) kv(w http.ResponseWriter, r *http.Request, key string, prefix, names bool) {
	after, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	if after > 0 {
		f.waiting++
		f.most = max(f.most, f.waiting)
		defer func() { f.waiting-- }()
	}
	pairs, index := f.look(key, prefix)
	for index <= after {
		changed, restored := f.changed, f.restored
		f.mu.Unlock()
		over := false
		select {
		case <-restored:
			over = true
		case <-changed:
		case <-timer.C:
			over = true
		case <-r.Context().Done():
			over = true
		}
		f.mu.Lock()
		reset := f.index < after
		pairs, index = f.look(key, prefix)
		if over || reset {
			break
		}
	}
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	w.Header().Set("X-Consul-LastContact", "0")
	if len(pairs) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if names {
		var keys []string
		for _, p := range pairs {
			keys = append(keys, p.Key)
		}
		_ = json.NewEncoder(w).Encode(keys)
		return
	}
	_ = json.NewEncoder(w).Encode(pairs)
}

// look returns what lies at key, and the index that Consul gives with it.
func (f *fake) look(key string, prefix bool) (pairs api.KVPairs, index uint64) {
	for k, p := range f.pairs {
		if k == key || prefix && strings.HasPrefix(k, key) {
			pairs = append(pairs, p)
			index = max(index, p.ModifyIndex)
		}
	}
	if prefix || len(pairs) == 0 {
		index = f.index // as with fresh tombstones
	}
	slices.SortFunc(pairs, func(a, b *api.KVPair) int { return strings.Compare(a.Key, b.Key) })
	return pairs, index
}

// tree answers a transaction of get-tree operations.
func (f *fake) tree(w http.ResponseWriter, body []byte) {
	var ops api.TxnOps
	var reply api.TxnResponse
	if err := json.Unmarshal(body, &ops); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, op := range ops {
		if op.KV.Verb != api.KVGetTree {
			http.Error(w, fmt.Sprintf("no %s here", op.KV.Verb), http.StatusBadRequest)
			return
		}
		pairs, _ := f.look(op.KV.Key, true)
		for _, p := range pairs {
			reply.Results = append(reply.Results, &api.TxnResult{KV: p})
		}
	}
	_ = json.NewEncoder(w).Encode(reply)
}

// until waits until ok, for something that must happen in the end.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	late := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}
