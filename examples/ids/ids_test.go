package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
)

// start starts a service and returns where it answers.
func start(t *testing.T, exe string, args ...string) (*program.Process, string) {
	t.Helper()
	p := program.Start(t, exe, append(args, "-listen", "127.0.0.1:0")...)
	line, _ := p.Line(t)
	url, ok := strings.CutPrefix(line, "listening at ")
	if !ok {
		t.Fatalf("the first line is %q", line)
	}
	return p, url
}

func get(url string) (id uint64, err error) {
	reply, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s: %w", reply.Status, body, err)
	}
	_, err = fmt.Sscanf(string(body), "%d\n", &id)
	return id, err
}

func stop(t *testing.T, p *program.Process) {
	t.Helper()
	p.Stop()
	if err := p.Wait(t); err != nil {
		t.Error(err)
	}
}

func TestIDs(t *testing.T) {
	exe := program.Build(t)
	t.Run("alone", func(t *testing.T) {
		p, url := start(t, exe)
		for want := uint64(1); want <= 100; want++ {
			if id, err := get(url); id != want || err != nil {
				t.Fatalf("%d, %v, want %d", id, err, want)
			}
		}
		stop(t, p)
	})
	t.Run("shared", func(t *testing.T) { shared(t, exe) })
	t.Run("bad-arguments", func(t *testing.T) {
		for _, args := range [][]string{{"-store", "nonsense"}, {"-listen", "nowhere"}} {
			if err := program.Start(t, exe, args...).Wait(t); err == nil {
				t.Errorf("%q: no error", args)
			}
		}
	})
}

// shared: two processes, asked at the same time, and then one in place of one
// that was killed, give no number twice.
func shared(t *testing.T, exe string) {
	server, err := etcdserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	first, firstURL := start(t, exe, "-store", server.URL)
	second, secondURL := start(t, exe, "-store", server.URL)

	var mu sync.Mutex
	given := map[uint64]bool{}
	ask := func(n int, urls ...string) {
		t.Helper()
		var all sync.WaitGroup
		for _, url := range urls {
			all.Go(func() {
				for range n {
					id, err := get(url)
					mu.Lock()
					if err != nil || given[id] {
						t.Errorf("%s: %d, %v; given before: %v", url, id, err, given[id])
					}
					given[id] = true
					mu.Unlock()
				}
			})
		}
		all.Wait()
	}
	ask(100, firstURL, secondURL)
	first.Kill()
	third, thirdURL := start(t, exe, "-store", server.URL)
	ask(100, secondURL, thirdURL)
	if len(given) != 400 {
		t.Errorf("%d numbers, want 400", len(given))
	}
	stop(t, second)
	stop(t, third)
}
