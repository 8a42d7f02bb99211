package restart_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/restart"
)

// capture makes slog.Default() write to the buffer that it returns.
func capture(t *testing.T) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &out
}

// after is a check that fails until d has passed.
func after(d time.Duration, asked *atomic.Int64) restart.Check {
	began := time.Now()
	return restart.Check{Name: "after " + d.String(), Func: func(context.Context) error {
		asked.Add(1)
		if time.Since(began) < d {
			return errors.New("too early")
		}
		return nil
	}}
}

func TestAwaitWaitsForAll(t *testing.T) {
	out := capture(t)
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		began := time.Now()
		err := restart.Await(t.Context(), after(0, &asked), after(60*time.Second, &asked), after(30*time.Second, &asked))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 60*time.Second || took > 62*time.Second {
			t.Errorf("it took %v, want 60 s and a pause at most", took)
		}
		// A pause of 1 s on average; the first ones are shorter.
		if n := asked.Load(); n < 60 || n > 180 {
			t.Errorf("it asked %d times in 90 s", n)
		}
	})
	log := out.String()
	if n := strings.Count(log, "msg=waiting"); n < 6 || n > 7 { // after 1 s, then every 10 s
		t.Errorf("it said %d times what it waits for:\n%s", n, log)
	}
	if !strings.Contains(log, "after 30s (too early)") || strings.Contains(log, "after 0s (") || strings.Count(log, "all there") != 1 {
		t.Errorf("the log does not say what is missing and why:\n%s", log)
	}
}

func TestAwaitNamesWhatIsMissing(t *testing.T) {
	capture(t)
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("stop")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, stop)
		defer cancel()
		silent := restart.Check{Name: "silent", Func: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }}
		broken := restart.Check{Name: "broken", Func: func(context.Context) error { return errWork }}
		good := restart.Check{Name: "good", Func: func(context.Context) error { return nil }}
		err := restart.Await(ctx, silent, broken, good)
		if !errors.Is(err, stop) || !errors.Is(err, errWork) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Await = %v, want the cause and what was missing", err)
		}
		if text := err.Error(); !strings.Contains(text, "silent (") || !strings.Contains(text, "broken (the work's own)") || strings.Contains(text, "good") {
			t.Errorf("Await = %q, want the missing by name, and them alone", text)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := restart.Await(ended, good); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "good (no answer yet)") {
			t.Errorf("Await with a context that has ended = %v", err)
		}
		if err := restart.Await(t.Context()); err != nil {
			t.Errorf("Await of nothing = %v", err)
		}
	})
}

func TestAwaitEndsWhereWaitingIsInVain(t *testing.T) {
	capture(t)
	store, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		check restart.Check
		want  error
	}{
		"permanent":   {restart.Check{Name: "c", Func: func(context.Context) error { return restart.Permanent(errWork) }}, errWork},
		"closed":      {restart.Store(store), backend.ErrClosed},
		"no store":    {restart.Store(nil), backend.ErrInvalid},
		"no function": {restart.Check{Name: "c"}, backend.ErrInvalid},
		"bad address": {restart.TCP("localhost"), backend.ErrInvalid},
		"bad URL":     {restart.HTTP("localhost:80/x"), backend.ErrInvalid},
	} {
		never := restart.Check{Name: "never", Func: func(context.Context) error { return errors.New("no") }}
		if err := restart.Await(t.Context(), never, c.check); !errors.Is(err, c.want) {
			t.Errorf("%s: Await = %v, want %v", name, err, c.want)
		}
	}
	var p *restart.PanicError
	if err := restart.Await(t.Context(), restart.Check{Name: "c", Func: func(context.Context) error { panic("boom") }}); !errors.As(err, &p) {
		t.Errorf("a check that panics: Await = %v", err)
	}
}

func TestAwaitAStore(t *testing.T) {
	capture(t)
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		server.SetDown(true)
		store, err := memory.Open(server, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		began := time.Now()
		time.AfterFunc(10*time.Second, func() { server.SetDown(false) })
		if err := restart.Await(t.Context(), restart.Store(store)); err != nil || time.Since(began) < 10*time.Second || time.Since(began) > 16*time.Second {
			t.Errorf("Await = %v after %v", err, time.Since(began))
		}
	})
}

func TestAwaitTCPAndHTTP(t *testing.T) {
	capture(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	if err := restart.Await(t.Context(), restart.TCP(listener.Addr().String()), restart.HTTP(server.URL)); err != nil || asked.Load() != 3 {
		t.Errorf("Await = %v, asked %d times", err, asked.Load())
	}
	listener.Close()
	if err := restart.TCP(listener.Addr().String()).Func(t.Context()); err == nil {
		t.Error("nobody listens, and the check is content")
	}
	asked.Store(0)
	if err := restart.HTTP(server.URL).Func(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a status of 503: %v", err)
	}
}
