package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// blocking returns how many blocking queries of targets, and of the prefix watcher, were
// ever asked.
func (f *fake) blocking() (own, shared int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.asked {
		switch {
		case !strings.Contains(a, "index="):
		case strings.Contains(a, "keys="):
			shared++
		default:
			own++
		}
	}
	return own, shared
}

// setBlocking has blocking queries answered so.
func (f *fake) setBlocking(answer func(http.ResponseWriter)) {
	f.setBefore(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		blocks := strings.Contains(r.URL.RawQuery, "index=")
		if blocks {
			answer(w)
		}
		return blocks
	})
}

// watchOnce watches a key until it was shown, and a moment longer.
func watchOnce(t *testing.T, f *fake, d *Driver, key string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	own, shared := f.blocking()
	_ = d.Watch(ctx, driver.Key(key), func([]driver.Entry) {
		go func() {
			defer cancel()
			for deadline := time.Now().Add(50 * time.Millisecond); time.Now().Before(deadline); {
				if o, b := f.blocking(); o > own || b > shared {
					return // it has begun to wait
				}
				time.Sleep(time.Millisecond)
			}
		}()
	})
	if ctx.Err() != context.Canceled {
		t.Fatalf("the watch of %s showed nothing", key)
	}
}

// TestAbandonedQueriesCount: a server keeps a blocking query, and its
// connection, though nobody waits for it any more. Watches that come and go
// cost no more of them than watches that stay.
func TestAbandonedQueriesCount(t *testing.T) {
	f := newFake(t)
	d := f.open(t, &Options{MaxBlockingQueries: 4}, nil)
	f.set("q/dir/a", []byte("1"))
	for i := range 20 {
		watchOnce(t, f, d, fmt.Sprintf("q/dir/%d", i%5))
	}
	if own, shared := f.blocking(); own > 3 || shared > 1 {
		t.Errorf("%d blocking queries of keys and %d of the prefix watcher, want 3 and 1 at most", own, shared)
	}
	d.queries.mu.Lock()
	for i := range d.queries.abandoned {
		d.queries.abandoned[i] = time.Now().Add(-time.Second)
	}
	d.queries.mu.Unlock()
	before, _ := f.blocking()
	watchOnce(t, f, d, "q/dir/a")
	if own, _ := f.blocking(); own != before+1 {
		t.Error("a query whose wait is over still counts")
	}
}

// TestResetQueriesCount: a server does not notice either that the connection of
// a blocking query was reset. Watches that begin again and again, since their
// connections are, leave no more of them behind than watches that come and go.
func TestResetQueriesCount(t *testing.T) {
	f := newFake(t)
	d := f.open(t, &Options{MaxBlockingQueries: 4}, nil)
	f.set("q/dir/a", []byte("1"))
	f.setBlocking(func(w http.ResponseWriter) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	const times = 20
	for i := range times {
		err := d.Watch(t.Context(), driver.Key(fmt.Sprintf("q/dir/%d", i%5)), func([]driver.Entry) {})
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Fatalf("Watch = %v, want ErrUnavailable", err)
		}
	}
	// A query on a connection that was used before is sent once more by net/http.
	own, shared := f.blocking()
	if own > 4+1 || shared < times-4 {
		t.Errorf("%d blocking queries of keys and %d of the prefix watcher, want 4 and %d", own, shared, times-4)
	}
}

// TestRefusedQueriesDoNotCount: who was turned away has left nothing at the
// server.
func TestRefusedQueriesDoNotCount(t *testing.T) {
	f := newFake(t)
	d := f.open(t, &Options{MaxBlockingQueries: 4}, nil)
	f.set("q/dir/a", []byte("1"))
	f.setBlocking(func(w http.ResponseWriter) { http.Error(w, "busy", http.StatusServiceUnavailable) })
	const times = 20
	for range times {
		if err := d.Watch(t.Context(), driver.Key("q/dir/a"), func([]driver.Entry) {}); !errors.Is(err, driver.ErrUnavailable) {
			t.Fatalf("Watch = %v, want ErrUnavailable", err)
		}
	}
	if own, shared := f.blocking(); own != times || shared > 0 {
		t.Errorf("%d blocking queries of keys and %d of the prefix watcher, want %d and none", own, shared, times)
	}
}

// TestSubscribersComeToAQueryUnderWay: many watches that come one after the other
// to the prefix watcher do not make it ask again, unless they are elsewhere.
func TestSubscribersComeToAQueryUnderWay(t *testing.T) {
	f := newFake(t)
	f.setBefore(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.URL.Path == "/v1/txn" {
			f.tree(w, body)
			return true
		}
		return false
	})
	d := f.open(t, &Options{MaxBlockingQueries: 1}, nil)
	seen := make(chan string, 100)
	watch := func(key string) {
		t.Helper()
		go func() {
			_ = d.Watch(t.Context(), driver.Key(key), func(e []driver.Entry) {
				value := ""
				if len(e) == 1 {
					value = string(e[0].Value)
				}
				seen <- key + value
			})
		}()
		if got := <-seen; got != key {
			t.Fatalf("%q was shown, want %q absent", got, key)
		}
	}
	for i := range 20 {
		watch(fmt.Sprintf("q/dir/%d", i))
	}
	_, shared := f.blocking()
	if shared > 1 {
		t.Errorf("the prefix watcher asked %d times", shared)
	}
	watch("q/other/a")
	for i := range 3 {
		f.set(fmt.Sprintf("q/dir/%d", i), []byte("=1"))
		if got, want := <-seen, fmt.Sprintf("q/dir/%d=1", i); got != want {
			t.Errorf("%q was shown, want %q", got, want)
		}
	}
	f.set("q/other/a", []byte("=1"))
	if got := <-seen; got != "q/other/a=1" {
		t.Errorf("%q was shown", got)
	}
}

// TestSilentReadsOfWatches: reads that watches wait for are given up when the
// server is silent, though no caller bounds them: the watches begin again, and
// other calls have their turn.
func TestSilentReadsOfWatches(t *testing.T) {
	for queries, reads := range map[int]int64{1: 1, 64: maxCalls} { // behind the prefix watcher, and with a query each
		f := newFake(t)
		var asked atomic.Int64
		f.setBefore(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
			asked.Add(1)
			<-r.Context().Done() // as long as its client waits
			return true
		})
		d := f.open(t, &Options{MaxBlockingQueries: queries}, nil)
		const watches = 2 * maxCalls
		ended := make(chan error, watches)
		for i := range watches {
			go func() {
				ended <- d.Watch(t.Context(), driver.Key(fmt.Sprintf("q/%d/value", i)), func([]driver.Entry) {})
			}()
		}
		until(t, "the reads to be under way", func() bool { return asked.Load() >= reads })
		f.setBefore(nil) // new connections are served; the old ones stay silent
		ctx, cancel := context.WithTimeout(t.Context(), lookTimeout+5*time.Second)
		if _, err := d.Read(ctx, driver.Key("q/a")); err != nil {
			t.Errorf("with %d queries: Read: %v", queries, err)
		}
		select {
		case err := <-ended:
			if !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("with %d queries: Watch = %v, want ErrUnavailable", queries, err)
			}
		case <-ctx.Done():
			t.Errorf("with %d queries: the watches are deaf", queries)
		}
		cancel()
	}
}
