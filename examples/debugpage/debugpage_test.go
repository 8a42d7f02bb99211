package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/examples/internal/program"
)

func get(t *testing.T, url string) (contentType, body string) {
	t.Helper()
	reply, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, reply.Status, err)
	}
	return reply.Header.Get("Content-Type"), string(text)
}

// TestDebugPage: the page shows the workers at work, and the same as JSON, in
// which what they count grows by itself.
func TestDebugPage(t *testing.T) {
	exe := program.Build(t)
	p := program.Start(t, exe, "-listen", "127.0.0.1:0", "-workers", "3", "-slots", "32", "-restart", "0")
	url, _ := p.Line(t)
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.Tick(100 * time.Millisecond); ; <-tick {
		kind, page := get(t, url)
		if !strings.HasPrefix(kind, "text/html") {
			t.Fatalf("the page is %s", kind)
		}
		if strings.Contains(page, "worker-0") && strings.Contains(page, "worker-1") && strings.Contains(page, "worker-2") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the workers are not shown: %s", page)
		}
	}
	kind, first := get(t, url+"?format=json")
	if !strings.HasPrefix(kind, "application/json") || !json.Valid([]byte(first)) {
		t.Fatalf("%s: %s", kind, first)
	}
	for tick := time.Tick(100 * time.Millisecond); ; <-tick {
		if count(t, url) > 10 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is counted")
		}
	}
	p.Stop()
	if err := p.Wait(t); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{{"-store", "nonsense"}, {"-workers", "0"}, {"-listen", "nowhere"}} {
		if err := program.Start(t, exe, args...).Wait(t); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// count returns the value of the one counter.
func count(t *testing.T, url string) int64 {
	t.Helper()
	_, text := get(t, url+"?format=json")
	var report struct {
		Counters []struct{ Data struct{ Value int64 } }
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil || len(report.Counters) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	return report.Counters[0].Data.Value
}
