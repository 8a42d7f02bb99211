package restart_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/restart"
)

const childEnv = "QUORATE_RESTART_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		child(name)
	}
	os.Exit(m.Run())
}

// child is the process of a service. It ends in Main.
func child(name string) {
	say := func(what string) { fmt.Fprintln(os.Stdout, what) }
	untilTold := func(ctx context.Context) error {
		say("up")
		<-ctx.Done()
		say("told")
		return context.Cause(ctx)
	}
	body := map[string]func(context.Context) error{
		"heeds": untilTold,
		"hangs": func(ctx context.Context) error {
			_ = untilTold(ctx)
			select {}
		},
		"panics": func(context.Context) error { panic("boom") },
		"fails":  func(context.Context) error { return errWork },
		"done":   func(context.Context) error { return nil },
		"budget": func(ctx context.Context) error {
			return restart.Supervise(ctx, func(context.Context) error {
				say("run")
				panic("again")
			}, &restart.Policy{Base: time.Millisecond, Max: time.Millisecond, Budget: 3})
		},
		"goroutine": func(ctx context.Context) error {
			go panic("nobody catches this")
			return untilTold(ctx)
		},
	}[name]
	options := &restart.Options{DrainTimeout: time.Minute}
	if name == "hangs" && os.Getenv("QUORATE_RESTART_TEST_SHORT") != "" {
		options.DrainTimeout = 100 * time.Millisecond
	}
	restart.Main(body, options)
}

// TestProcess tests what only a process of its own can show: real signals and
// the exit code that its parent sees.
func TestProcess(t *testing.T) {
	for _, c := range []struct {
		name, child string
		short       bool
		signals     []syscall.Signal // each after "up" or "told"
		code        int
		want        string // on standard error
		count       int    // lines of standard output
	}{
		{"SIGTERM", "heeds", false, []syscall.Signal{syscall.SIGTERM}, restart.ExitClean, "signal: terminated", 2},
		{"SIGINT", "heeds", false, []syscall.Signal{syscall.SIGINT}, restart.ExitClean, "signal: interrupt", 2},
		{"second signal", "hangs", false, []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, restart.ExitInterrupted, "a second signal: terminated", 2},
		{"overrun", "hangs", true, []syscall.Signal{syscall.SIGTERM}, restart.ExitOverran, "drain overran", 2},
		{"panic", "panics", false, nil, restart.ExitFailed, "process_test.go", 0},
		{"failure", "fails", false, nil, restart.ExitFailed, "the work's own", 0},
		{"done", "done", false, nil, restart.ExitClean, "the work ended", 0},
		{"budget", "budget", false, nil, restart.ExitGaveUp, "gave up restarting after 3 restarts", 4},
		{"panic elsewhere", "goroutine", false, nil, 2, "nobody catches this", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, exe)
			cmd.Env = append(os.Environ(), childEnv+"="+c.child)
			if c.short {
				cmd.Env = append(cmd.Env, "QUORATE_RESTART_TEST_SHORT=1")
			}
			var stderr lockedBuffer
			cmd.Stderr = &stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines, signals := 0, c.signals
			for scanner := bufio.NewScanner(out); scanner.Scan(); lines++ {
				if len(signals) > 0 {
					if err := cmd.Process.Signal(signals[0]); err != nil {
						t.Error(err)
					}
					signals = signals[1:]
				}
			}
			err = cmd.Wait()
			code := 0
			if exit := new(exec.ExitError); errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != c.code || c.count >= 0 && lines != c.count || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("code %d, want %d; %d lines, want %d; said:\n%s", code, c.code, lines, c.count, stderr.String())
			}
		})
	}
}

// lockedBuffer is written to by a goroutine of package exec.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
