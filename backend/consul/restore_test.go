package consul

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

// restore puts the store back to pairs, and writes another key at once: the index
// goes on, as after a restore that the next write hides.
func (f *fake) restore(pairs map[string]*api.KVPair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index++
	f.pairs = maps.Clone(pairs)
	f.pairs["q/other"] = &api.KVPair{Key: "q/other", CreateIndex: f.index, ModifyIndex: f.index}
	close(f.restored)
	f.restored = make(chan struct{})
	close(f.changed)
	f.changed = make(chan struct{})
}

// TestRestoreThatTheNextWriteHides: watches notice a restore though the index of
// the table is higher than before.
func TestRestoreThatTheNextWriteHides(t *testing.T) {
	for _, bound := range []int{1, 8} { // behind the prefix watcher, and directly
		for name, target := range map[string]driver.Target{
			"an entry comes back in a directory": driver.Dir("q/dir"),
			"a key comes back":                   driver.Key("q/dir/gone"),
			"a key is as it was":                 driver.Key("q/dir/kept"),
		} {
			if bound == 1 && target.Path == "q/dir/kept" {
				continue // the query of all watches has news then: it shows nothing, and nothing has changed
			}
			t.Run(name, func(t *testing.T) {
				f := newFake(t)
				f.setBefore(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
					if r.URL.Path == "/v1/txn" {
						f.tree(w, body)
						return true
					}
					return false
				})
				d := f.open(t, &Options{MaxBlockingQueries: bound, Wait: time.Minute}, nil)
				f.set("q/dir/kept", []byte("kept"))
				f.set("q/dir/gone", []byte("old"))
				f.mu.Lock()
				backup := maps.Clone(f.pairs)
				f.mu.Unlock()
				f.set("q/dir/gone", nil)
				watched := watch(t, d, target)
				first := 1
				if target.Path == "q/dir/gone" {
					first = 0
				}
				until(t, "the watch has begun", func() bool {
					_, waiting, _ := f.counts("GET")
					watched.mu.Lock()
					defer watched.mu.Unlock()
					return watched.calls > 0 && len(watched.last) == first && waiting > 0
				})
				before, ended := d.Generation()
				f.restore(backup)
				select {
				case <-ended:
				case <-time.After(10 * time.Second):
					t.Fatal("no new generation")
				}
				until(t, "the entries are of the new generation", func() bool {
					watched.mu.Lock()
					defer watched.mu.Unlock()
					return len(watched.last) > 0 && watched.last[0].Version.Generation == before+1
				})
			})
		}
	}
}

func TestReappeared(t *testing.T) {
	entry := func(key string, modified uint64) driver.Entry { return driver.Entry{Key: key, Modified: modified} }
	before := []driver.Entry{entry("a", 5), entry("c", 9)}
	for _, c := range []struct {
		after []driver.Entry
		want  bool
	}{
		{before, false},
		{nil, false},
		{[]driver.Entry{entry("a", 5)}, false},
		{[]driver.Entry{entry("a", 11), entry("b", 12), entry("c", 9)}, false},
		{[]driver.Entry{entry("a", 5), entry("b", 7), entry("c", 9)}, true},
		{[]driver.Entry{entry("a", 4), entry("c", 9)}, true},
		{[]driver.Entry{entry("a", 5), entry("d", 10)}, true}, // it was absent at 10
	} {
		if got := reappeared(before, 10, c.after); got != c.want {
			t.Errorf("reappeared(%v) = %v, want %v", c.after, got, c.want)
		}
	}
}

func TestEndedEarly(t *testing.T) {
	x := indexes{}
	for _, c := range []struct {
		lasted time.Duration
		want   bool
	}{
		{time.Minute, false},     // it lasted as long as it was to
		{30 * time.Second, true}, // a restore, or the first under a max_query_time of 30 s
		{31 * time.Second, false},
		{30 * time.Second, false},
		{4 * time.Second, true},
		{30 * time.Second, true},
	} {
		if got := x.endedEarly(c.lasted, time.Minute); got != c.want {
			t.Errorf("endedEarly(%v) = %v, want %v", c.lasted, got, c.want)
		}
	}
}
