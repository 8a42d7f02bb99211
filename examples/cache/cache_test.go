package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
	"github.com/quorate/quorate/examples/internal/web"
)

// peer is a process of the cache, and what it has loaded.
type peer struct {
	*program.Process
	url    string
	loaded []string
}

func start(t *testing.T, exe, store string) *peer {
	t.Helper()
	p := &peer{Process: program.Start(t, exe, "-store", store, "-ttl", "2s", "-listen", "127.0.0.1:0")}
	line, _ := p.Line(t)
	var ok bool
	if p.url, ok = strings.CutPrefix(line, "listening at "); !ok {
		t.Fatalf("the first line is %q", line)
	}
	return p
}

func (p *peer) get(t *testing.T, path string) string {
	t.Helper()
	text, err := web.Do(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sees waits until the peer sees as many peers.
func (p *peer) sees(t *testing.T, n int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); strings.Count(p.get(t, "/peers"), "\n") != n; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not see %d peers", p.url, n)
		}
	}
}

// rest reads what else the process has loaded, once it has ended.
func (p *peer) rest(t *testing.T) []string {
	t.Helper()
	for line, more := p.Line(t); more; line, more = p.Line(t) {
		key, ok := strings.CutPrefix(line, "loaded ")
		if !ok {
			t.Fatalf("the line is %q", line)
		}
		p.loaded = append(p.loaded, key)
	}
	return p.loaded
}

func TestCache(t *testing.T) {
	exe := program.Build(t)
	t.Run("killed", func(t *testing.T) { killed(t, exe) })
	t.Run("bad-arguments", func(t *testing.T) {
		for _, args := range [][]string{{"-store", "nonsense"}, {"-listen", "nowhere"}, {"-keep", "0s"}} {
			if err := program.Start(t, exe, args...).Wait(t); err == nil {
				t.Errorf("%q: no error", args)
			}
		}
	})
}

// killed: each key is loaded once, whoever is asked; when one of three is
// killed its keys are loaded anew, and no other.
func killed(t *testing.T, exe string) {
	const keys = 60
	server, err := etcdserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	var all []*peer
	for range 3 {
		all = append(all, start(t, exe, server.URL))
	}
	ask := func(p *peer) {
		t.Helper()
		for i := range keys {
			key := fmt.Sprintf("key/%d", i)
			if text := p.get(t, "/get/key%2F"+fmt.Sprint(i)); text != "the value of "+key {
				t.Errorf("%s: %q", key, text)
			}
		}
	}
	for _, p := range all {
		p.sees(t, 3)
	}
	for _, p := range all {
		ask(p)
	}
	gone, left := all[0], all[1:]
	gone.Kill()
	first := gone.rest(t)
	for _, p := range left {
		ask(p) // no request fails, though nobody may know yet
		p.sees(t, 2)
	}
	for _, p := range left {
		ask(p)
	}
	for _, p := range left {
		p.Stop()
		if err := p.Wait(t); err != nil {
			t.Error(err)
		}
	}
	if len(first) == 0 || len(first) == keys {
		t.Fatalf("the one that was killed had %d of %d keys", len(first), keys)
	}
	times := map[string]int{}
	for _, p := range all {
		for _, key := range p.rest(t) {
			times[key]++
		}
	}
	for i := range keys {
		key := fmt.Sprintf("key/%d", i)
		// By who was killed, then in passing by each of the others, while the
		// view still shows it, and once more by who keeps it since.
		low, high := 1, 1
		if slices.Contains(first, key) {
			low, high = 2, 4
		}
		if n := times[key]; n < low || n > high {
			t.Errorf("%s was loaded %d times, want %d to %d", key, n, low, high)
		}
	}
}
