package restart_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/restart"
)

// probe asks a handler as an orchestrator does.
func probe(h http.Handler) (code int, text string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestHealth(t *testing.T) {
	var h restart.Health
	want := func(what string, handler http.Handler, code int, text string) {
		t.Helper()
		if c, s := probe(handler); c != code || s != text {
			t.Errorf("%s: %d %q, want %d %q", what, c, s, code, text)
		}
	}
	want("at the start", h.Live(), 200, "live")
	want("at the start", h.Ready(), 503, "starting")
	h.SetReady()
	want("ready", h.Ready(), 200, "ready")
	h.SetUnready("loading prices")
	want("unready", h.Ready(), 503, "loading prices")
	want("unready", h.Live(), 200, "live")
	h.SetReady()
	h.AddReady(restart.Check{Name: "cache", Func: func(context.Context) error { return errWork }})
	h.AddReady(restart.Check{Name: "index", Func: func(context.Context) error { panic("boom") }})
	h.AddReady(restart.Check{Name: "disk", Func: func(context.Context) error { return nil }})
	want("checks fail", h.Ready(), 503, "cache: the work's own\nindex: panic: boom")
	want("checks of the other fail", h.Live(), 200, "live")
	h.AddLive(restart.Check{Name: "loop", Func: func(context.Context) error { return errWork }})
	want("a check fails", h.Live(), 503, "loop: the work's own")
	h.AddLive(restart.Check{Name: "empty"})
	if code, text := probe(h.Live()); code != 503 || !strings.Contains(text, "empty: ") {
		t.Errorf("a check without a function: %d %q", code, text)
	}
}

// TestAStoreThatIsDownFailsNoProbe unless its user wants that.
func TestAStoreThatIsDownFailsNoProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		store, err := memory.Open(server, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		var h restart.Health
		h.SetReady()
		code := restart.RunUntil(t.Context(), nil, func(ctx context.Context) error {
			server.SetDown(true)
			time.Sleep(time.Hour)
			if code, text := probe(h.Live()); code != 200 {
				t.Errorf("live: %d %q", code, text)
			}
			if code, text := probe(h.Ready()); code != 200 {
				t.Errorf("ready: %d %q", code, text)
			}
			h.AddReady(restart.Store(store))
			began := time.Now()
			if code, text := probe(h.Ready()); code != 503 || !strings.Contains(text, "the store is down") || time.Since(began) > time.Second {
				t.Errorf("ready, with a check of the store: %d %q after %v", code, text, time.Since(began))
			}
			return nil
		}, &restart.Options{Health: &h, Logger: quiet})
		if code != restart.ExitClean {
			t.Errorf("Run = %d", code)
		}
	})
}
