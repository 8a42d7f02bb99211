package restart_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/restart"
)

// closer notes when it was closed.
type closer struct {
	after time.Duration // that it takes
	err   error
	at    *time.Time
}

func (c closer) Close() error {
	*c.at = time.Now()
	time.Sleep(c.after)
	return c.err
}

// outcome is what came of a Run in a bubble.
type outcome struct {
	code                    int
	log                     string
	unready, told, returned time.Duration // since the first signal
	closed                  time.Time
	took                    time.Duration
}

// drain runs a body in a bubble that ends some time after it was told to, and
// sends signals after a minute.
func drain(t *testing.T, options restart.Options, lasts time.Duration, returns error, between ...time.Duration) (o outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var h restart.Health
		signals := make(chan os.Signal, 9)
		options.Health, options.Logger = &h, slog.New(slog.NewTextHandler(&out, nil))
		options.Close = append(options.Close, closer{at: &o.closed})
		var first time.Time
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			time.Sleep(time.Minute)
			first = time.Now()
			signals <- syscall.SIGTERM
			for range 1000 { // ms
				if c, _ := probe(h.Ready()); c != 200 {
					break
				}
				time.Sleep(time.Millisecond)
			}
			o.unready = time.Since(first)
			for _, d := range between {
				time.Sleep(d)
				signals <- os.Interrupt
			}
		}()
		o.code = restart.RunUntil(t.Context(), signals, func(ctx context.Context) error {
			h.SetReady()
			<-ctx.Done()
			o.told = time.Since(first)
			time.Sleep(lasts)
			o.returned = time.Since(first)
			h.SetReady() // does not help a process that drains
			if c, text := probe(h.Ready()); c != 503 || !strings.Contains(text, "draining: signal: terminated") {
				t.Errorf("while draining: %d %q", c, text)
			}
			if returns != nil {
				return returns
			}
			return context.Cause(ctx)
		}, &options)
		o.took = time.Since(first)
		<-stopped
		time.Sleep(lasts + time.Hour) // until the work has ended that was not waited for
		o.log = out.String()
		if n := strings.Count(o.log, "msg=exit"); n != 1 || !strings.Contains(o.log, fmt.Sprint("code=", o.code)) {
			t.Errorf("want one line that says why it ended, with the code:\n%s", o.log)
		}
	})
	return o
}

func TestDrain(t *testing.T) {
	o := drain(t, restart.Options{ReadyDelay: 5 * time.Second, DrainTimeout: time.Minute}, 10*time.Second, nil)
	if o.code != restart.ExitClean || o.unready > time.Millisecond || o.told != 5*time.Second || o.returned != 15*time.Second || o.took != 15*time.Second {
		t.Errorf("drained like this: %+v", o)
	}
	if o.closed.IsZero() || !strings.Contains(o.log, `level=INFO msg=exit code=0 meaning=clean why="draining: signal: terminated"`) {
		t.Errorf("closed %v, log:\n%s", o.closed, o.log)
	}
}

func TestAnErrorInTheDrain(t *testing.T) {
	if o := drain(t, restart.Options{}, 0, errWork); o.code != restart.ExitFailed || o.closed.IsZero() || !strings.Contains(o.log, "the work's own") {
		t.Errorf("drained like this: %+v", o)
	}
	// What the standard library returns when a context ends.
	if o := drain(t, restart.Options{}, 0, fmt.Errorf("serve: %w", context.Canceled)); o.code != restart.ExitClean {
		t.Errorf("drained like this: %+v", o)
	}
	o := drain(t, restart.Options{}, 0, fmt.Errorf("%w: %w", restart.ErrGaveUp, context.Canceled))
	if o.code != restart.ExitGaveUp {
		t.Errorf("drained like this: %+v", o)
	}
}

// TestDrainOverrun: what has not stopped may still act for what it owns, so
// nothing is closed that would give that to others.
func TestDrainOverrun(t *testing.T) {
	o := drain(t, restart.Options{ReadyDelay: 2 * time.Second, DrainTimeout: 10 * time.Second}, 11*time.Second, nil)
	if o.code != restart.ExitOverran || o.took != 12*time.Second || !o.closed.IsZero() || !strings.Contains(o.log, `meaning="drain overran"`) {
		t.Errorf("drained like this: %+v", o)
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	for name, at := range map[string]time.Duration{"not yet told": 3 * time.Second, "draining": 8 * time.Second} {
		o := drain(t, restart.Options{ReadyDelay: 5 * time.Second, DrainTimeout: time.Minute}, 30*time.Second, nil, at)
		if o.code != restart.ExitInterrupted || o.took > at+time.Second || !o.closed.IsZero() || !strings.Contains(o.log, "a second signal: interrupt") {
			t.Errorf("%s: drained like this: %+v", name, o)
		}
	}
	var at time.Time
	slow := []io.Closer{closer{after: time.Minute, at: &at}}
	o := drain(t, restart.Options{Close: slow, CloseTimeout: 2 * time.Minute}, time.Second, nil, 10*time.Second)
	if o.code != restart.ExitInterrupted || o.took > 11*time.Second || at.IsZero() {
		t.Errorf("closing: drained like this: %+v", o)
	}
	o = drain(t, restart.Options{Close: slow, CloseTimeout: 2 * time.Minute}, time.Second, errWork, 10*time.Second)
	if o.code != restart.ExitFailed || o.took > 11*time.Second {
		t.Errorf("closing after a failure: drained like this: %+v", o)
	}
}

// Catches: a Store that is closed while a Tally still flushes to it.
func TestCloseInOrder(t *testing.T) {
	var first, second time.Time
	o := drain(t, restart.Options{Close: []io.Closer{
		closer{after: 2 * time.Second, at: &first}, closer{after: time.Second, at: &second},
	}}, time.Second, nil)
	if o.code != restart.ExitClean || second.Sub(first) != 2*time.Second || o.closed.Sub(second) != time.Second {
		t.Errorf("closed at %v, %v and %v: %+v", first, second, o.closed, o)
	}
}

func TestCloseIsBoundedAndChangesNoCode(t *testing.T) {
	var at time.Time
	o := drain(t, restart.Options{Close: []io.Closer{closer{after: time.Minute, at: &at}}, CloseTimeout: 7 * time.Second}, time.Second, nil)
	if o.code != restart.ExitClean || o.took != 8*time.Second || o.closed.IsZero() || !strings.Contains(o.log, "could not close in time") {
		t.Errorf("drained like this: %+v", o)
	}
	o = drain(t, restart.Options{Close: []io.Closer{closer{err: errors.New("store is down"), at: &at}}}, time.Second, nil)
	if o.code != restart.ExitClean || !strings.Contains(o.log, "store is down") {
		t.Errorf("drained like this: %+v", o)
	}
}

// TestTheWorkEndsByItself: a first signal while the stores are closed says
// nothing new.
func TestTheWorkEndsByItself(t *testing.T) {
	for name, c := range map[string]struct {
		body func(context.Context) error
		code int
		want string
	}{
		"done":    {func(context.Context) error { return nil }, restart.ExitClean, "the work ended"},
		"failed":  {func(context.Context) error { return errWork }, restart.ExitFailed, "the work's own"},
		"gave up": {func(context.Context) error { return fmt.Errorf("group: %w", restart.ErrGaveUp) }, restart.ExitGaveUp, "gave up"},
		"panic":   {func(context.Context) error { panic("boom") }, restart.ExitFailed, "TestTheWorkEndsByItself"},
		"goexit":  {func(context.Context) error { runtime.Goexit(); return nil }, restart.ExitFailed, "Goexit"},
		// Nobody told it to stop.
		"cancelled": {func(context.Context) error { return context.Canceled }, restart.ExitFailed, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				var at time.Time
				signals := make(chan os.Signal, 9)
				time.AfterFunc(time.Second, func() { signals <- syscall.SIGTERM })
				code := restart.RunUntil(t.Context(), signals, c.body, &restart.Options{
					Close:  []io.Closer{closer{after: 5 * time.Second, at: &at}},
					Logger: slog.New(slog.NewTextHandler(&out, nil)),
				})
				if code != c.code || at.IsZero() || time.Since(at) != 5*time.Second {
					t.Errorf("code %d, want %d; closed %v", code, c.code, at)
				}
				if log := out.String(); strings.Count(log, "msg=exit") != 1 || !strings.Contains(log, c.want) {
					t.Errorf("want one line with %q:\n%s", c.want, log)
				}
			})
		})
	}
}

func TestTheEndOfTheContextDrainsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("stop")
		type key struct{}
		ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		began := time.Now()
		time.AfterFunc(time.Second, func() { cancel(stop) })
		code := restart.RunUntil(ctx, nil, func(ctx context.Context) error {
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, restart.ErrDraining) || !errors.Is(cause, stop) || ctx.Value(key{}) != "value" {
				t.Errorf("the context ended with %v", cause)
			}
			if time.Since(began) != 4*time.Second {
				t.Errorf("it ended after %v, want ReadyDelay to have passed", time.Since(began))
			}
			return nil
		}, &restart.Options{ReadyDelay: 3 * time.Second, Logger: quiet})
		if code != restart.ExitClean {
			t.Errorf("Run = %d", code)
		}
	})
}

func TestBadOptions(t *testing.T) {
	body := func(context.Context) error { t.Error("it runs"); return nil }
	for name, c := range map[string]struct {
		body    func(context.Context) error
		options restart.Options
	}{
		"no body":               {nil, restart.Options{}},
		"negative ReadyDelay":   {body, restart.Options{ReadyDelay: -1}},
		"negative DrainTimeout": {body, restart.Options{DrainTimeout: -1}},
		"nil closer":            {body, restart.Options{Close: []io.Closer{nil}}},
	} {
		var out bytes.Buffer
		c.options.Logger = slog.New(slog.NewTextHandler(&out, nil))
		if code := restart.Run(t.Context(), c.body, &c.options); code != restart.ExitFailed || !strings.Contains(out.String(), "invalid") {
			t.Errorf("%s: Run = %d, log %s", name, code, out.String())
		}
	}
}
