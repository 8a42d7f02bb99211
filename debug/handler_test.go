package debug_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/debug"
	"github.com/quorate/quorate/election"
)

// TestManyViewersCostOneRead, and looking writes nothing.
func TestManyViewersCostOneRead(t *testing.T) {
	bubble(t, "e", 4, func(t *testing.T, s *scene) {
		s.options.Groups = nil // following one is not a read per round
		s.serve()
		before := s.server.Stats()
		var viewers sync.WaitGroup
		for range 50 {
			viewers.Go(func() { s.html() })
		}
		viewers.Wait()
		after := s.server.Stats()
		if n := after.Reads - before.Reads; n != 4 {
			t.Errorf("%d reads for one of each, want 4", n)
		}
		time.Sleep(900 * time.Millisecond)
		s.html()
		if n := s.server.Stats().Reads - after.Reads; n != 0 {
			t.Errorf("%d reads within a second", n)
		}
		time.Sleep(200 * time.Millisecond)
		s.html()
		if n := s.server.Stats().Reads - after.Reads; n != 4 {
			t.Errorf("%d reads after it, want 4", n)
		}
		if end := s.server.Stats(); end.Commits+end.Grants+end.Watches != 0 || len(s.server.Entries()) != 0 {
			t.Errorf("looking did %+v, and left %d keys", end, len(s.server.Entries()))
		}
	})
}

// TestASlowRoundIsSharedAndOutlivesItsViewer: who comes while the store is slow
// waits for the same round; who goes does not end it for the others.
func TestASlowRoundIsSharedAndOutlivesItsViewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		d := memory.NewDriver(server)
		store, err := backend.New(d, nil)
		must(t, err)
		defer store.Close()
		e, err := election.New(store, "e", nil)
		must(t, err)
		page, err := debug.Handler(store, &debug.Options{Elections: []*election.Election{e}})
		must(t, err)
		d.Silence()
		look := func(ctx context.Context) string {
			w := httptest.NewRecorder()
			page.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
			return w.Body.String()
		}
		ctx, leave := context.WithCancel(t.Context())
		var viewers sync.WaitGroup
		viewers.Go(func() { look(ctx) }) // it makes the round
		synctest.Wait()
		second, gone := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer gone()
		viewers.Go(func() {
			began := time.Now()
			if got := look(second); got != "" || time.Since(began) != 200*time.Millisecond {
				t.Errorf("a viewer that left after 200 ms got %q after %v", got, time.Since(began))
			}
		})
		leave()
		time.Sleep(time.Second)
		d.Heal()
		viewers.Go(func() {
			if got := look(t.Context()); !strings.Contains(got, "nobody has led yet") {
				t.Error("a viewer that waited did not get what the round read")
			}
		})
		viewers.Wait()
	})
}

// TestTheSessionIsOfNow, not of when the store was last read.
func TestTheSessionIsOfNow(t *testing.T) {
	bubble(t, "e", 4, func(t *testing.T, s *scene) {
		_, err := s.store.Session(t.Context())
		must(t, err)
		left := func() float64 { return at(s.json(), "session", "trust_left_ms").(float64) }
		before := left()
		time.Sleep(500 * time.Millisecond)
		if after := left(); before-after != 500 {
			t.Errorf("half a second later the trust left is %v ms instead of %v", after, before)
		}
	})
}

func TestHeaders(t *testing.T) {
	bubble(t, "e", 4, func(t *testing.T, s *scene) {
		for _, c := range []struct {
			method, query string
			code          int
		}{
			{"GET", "", 200},
			{"HEAD", "", 200},
			{"GET", "?format=json", 200},
			{"HEAD", "?format=json", 200},
			{"GET", "?format=xml", 400},
			{"POST", "", 405},
			{"PUT", "?format=json", 405},
			{"DELETE", "", 405},
			{"OPTIONS", "", 405},
		} {
			w := httptest.NewRecorder()
			s.page.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, "/anywhere"+c.query, nil))
			h := w.Header()
			if w.Code != c.code || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s: %d, %v", c.method, c.query, w.Code, h)
			}
			if c.code == 405 && h.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s: Allow is %q", c.method, h.Get("Allow"))
			}
			if c.method == "HEAD" && (w.Body.Len() != 0 || h.Get("Content-Length") == "") {
				t.Errorf("HEAD %s: %d bytes, %v", c.query, w.Body.Len(), h)
			}
		}
		// The policy allows this page's style sheet and nothing else.
		page := s.get("")
		_, rest, _ := strings.Cut(page.Body.String(), "<style>")
		style, _, _ := strings.Cut(rest, "</style>")
		sum := sha256.Sum256([]byte(style))
		policy := page.Header().Get("Content-Security-Policy")
		if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) || !strings.HasPrefix(policy, "default-src 'none'; ") ||
			strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
			t.Errorf("the policy is %q, want %q in it", policy, want)
		}
	})
}

func TestRefresh(t *testing.T) {
	bubble(t, "e", 4, func(t *testing.T, s *scene) {
		const loads = `http-equiv="refresh"`
		if page := s.get("?refresh=off").Body.String(); strings.Contains(page, loads) || !strings.Contains(page, "resume") {
			t.Error("a page that is paused loads itself, or cannot be resumed")
		}
		s.options.Refresh = 7 * time.Second
		s.serve()
		contains(t, "", s.html(), loads+` content="7"`)
		s.options.Refresh = -1
		s.serve()
		if page := s.html(); strings.Contains(page, loads) || strings.Contains(page, "pause") || strings.Contains(page, "resume") {
			t.Error("a page that never loads itself does, or says so")
		}
	})
}

func TestNothingToShow(t *testing.T) {
	bubble(t, "e", 4, func(t *testing.T, s *scene) {
		page, err := debug.Handler(s.store, nil)
		must(t, err)
		s.page = page
		contains(t, "", s.html(), "Only the session is shown")
		if n := s.server.Stats().Reads; n != 0 {
			t.Errorf("%d reads", n)
		}
	})
}

func TestHandlerRefuses(t *testing.T) {
	store, err := memory.New(nil)
	must(t, err)
	defer store.Close()
	if _, err := debug.Handler(nil, nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("without a store: %v", err)
	}
	for _, options := range []debug.Options{
		{Timeout: -1},
		{Refresh: time.Millisecond},
		{Elections: []*election.Election{nil}},
	} {
		if _, err := debug.Handler(store, &options); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%+v: %v", options, err)
		}
	}
}

func ExampleHandler() {
	store, err := memory.New(nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	nightly, err := election.New(store, "billing/nightly", nil)
	if err != nil {
		panic(err)
	}
	page, err := debug.Handler(store, &debug.Options{Elections: []*election.Election{nightly}})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/quorate", page) // on a listener that is private

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/quorate", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"), strings.Contains(w.Body.String(), "billing/nightly"))
	// Output: 200 text/html; charset=utf-8 true
}
