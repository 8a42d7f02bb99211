// Testrun runs `go test` commands and accepts no silence. It fails if a test
// failed or was skipped, if a command ran no test at all, if a package that has
// test files ran none of its tests, and if -run names subtests and a package ran
// none of its subtests.
//
// Each argument is one command, its words separated by spaces, environment
// assignments first, as in
//
//	testrun 'go test -race ./...' 'GOWORK=off go test -C backend/etcd ./...'
//
// The commands run one after the other, all of them even if one fails. The
// argument -- begins another lane: the commands of different lanes run side by
// side. The argument --then waits for the end of all lanes before it.
//
// Testrun adds -json to each command and prints the output that go test would
// print, a package at a time. Then it prints a table per command, the number of
// tests per store driver, the slowest tests, the share of the processors' time
// that was used, and a last line "N passed, N failed", in which a skipped test
// counts as failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: testrun 'go test [flags] packages' ... [-- ...] [--then ...]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begin := time.Now()
	out := &lockedWriter{out: os.Stdout}
	var runs []*run
	for _, phase := range split(os.Args[1:], "--then") {
		runs = append(runs, executeLanes(ctx, split(phase, "--"), out)...)
	}
	if !report(os.Stdout, runs, time.Since(begin)) {
		os.Exit(1)
	}
}

// split returns the parts of args between the separators.
func split(args []string, separator string) [][]string {
	parts := [][]string{nil}
	for _, arg := range args {
		if arg == separator {
			parts = append(parts, nil)
			continue
		}
		last := &parts[len(parts)-1]
		*last = append(*last, arg)
	}
	return parts
}

// executeLanes runs the lanes side by side, and the commands of each one after
// the other. It returns their runs in the order of the arguments.
func executeLanes(ctx context.Context, lanes [][]string, out io.Writer) []*run {
	perLane := make([][]*run, len(lanes))
	var all sync.WaitGroup
	for i, lines := range lanes {
		all.Go(func() {
			for _, line := range lines {
				if ctx.Err() != nil {
					return
				}
				r := newRun(line, out)
				fmt.Fprintf(out, "# %s\n", r.label)
				execute(ctx, r)
				perLane[i] = append(perLane[i], r)
			}
		})
	}
	all.Wait()
	return slices.Concat(perLane...)
}

// lockedWriter is a writer that several lanes share.
type lockedWriter struct {
	mu  sync.Mutex // guards out
	out io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}

// execute runs the command of r to its end and feeds r with its events.
func execute(ctx context.Context, r *run) {
	begin := time.Now()
	defer func() { r.wall = time.Since(begin) }()
	env, args, err := parse(r.line)
	if err != nil {
		r.problem("%v", err)
		return
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	// Interrupted, go test still ends its test binaries.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		r.problem("%v", err)
		return
	}
	if err := cmd.Start(); err != nil {
		r.problem("%v", err)
		return
	}
	if err := r.read(stdout); err != nil {
		r.problem("reading the events: %v", err)
		_, _ = io.Copy(io.Discard, stdout)
	}
	err = cmd.Wait()
	// Processes that the tests started and waited for are in it.
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	r.finish(err)
}

// parse splits a command line into environment and arguments and adds -json
// where go test takes it.
func parse(line string) (env, args []string, err error) {
	args = strings.Fields(line)
	for len(args) > 0 && strings.Contains(args[0], "=") {
		env, args = append(env, args[0]), args[1:]
	}
	test := slices.Index(args, "test")
	if test < 1 || path.Base(args[test-1]) != "go" {
		return nil, nil, errors.New("not a `go test` command")
	}
	// -C must stay the first flag.
	at := test + 1
	if at < len(args) && (args[at] == "-C" || args[at] == "--C") {
		at += 2
	} else if at < len(args) && strings.HasPrefix(args[at], "-C=") {
		at++
	}
	if at > len(args) {
		return nil, nil, errors.New("-C without a directory")
	}
	return env, slices.Insert(args, at, "-json"), nil
}
