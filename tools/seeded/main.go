// Seeded proves that the tests can fail. It puts known bugs of the field into a
// copy of the tree, one at a time, and runs the tests that have to catch each:
// a bug that they do not notice is a failure, and so is one that no longer
// applies to the tree or does not compile.
//
// A bug is a file bugs/NAME.patch: a unified diff against the top of the tree
// (git apply has to take it), after header lines of which one that begins with
// a space continues the one before:
//
//	Bug: what is wrong, in one sentence
//	Breaks: words of docs/guarantees.md, as they stand there
//	Test: go test [flags] package
//	Fails: the tests that have to fail, by their full names, which have no spaces
//
// Of the command it makes `go test -count=1 -run ...` with the tests of Fails,
// once without any bug, since a test that always fails catches nothing, and
// once for each bug.
//
// Run it at the top of the tree. It copies the files that git tracks, as they
// stand, to .cache/seeded and changes nothing else; one run at a time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

const (
	bugs = "tools/seeded/bugs"
	page = "docs/seeded-bugs.md"
	work = ".cache/seeded"
)

func main() {
	only := flag.String("only", "", "seed only the bugs of these `names`, separated by commas")
	list := flag.Bool("list", false, "list the bugs and seed none")
	docs := flag.Bool("docs", false, "write "+page+" and seed none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only, *list, *docs); err != nil {
		fmt.Fprintln(os.Stderr, "seeded:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, list, docs bool) error {
	top, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	if _, err := os.Stat("go.work"); err != nil {
		return fmt.Errorf("not at the top of the tree: %w", err)
	}
	all, err := load(bugs)
	if err != nil {
		return err
	}
	if all, err = choose(all, only); err != nil {
		return err
	}
	switch {
	case docs && only != "":
		return errors.New("-docs is about all bugs, not about -only some")
	case docs:
		return os.WriteFile(page, document(all), 0o644)
	case list:
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		for _, b := range all {
			fmt.Fprintf(w, "%s\t%s\n", b.name, b.what)
		}
		return w.Flush()
	}
	c, err := newCopy(ctx, top, filepath.Join(top, work))
	if err != nil {
		return err
	}
	defer c.remove()
	return seed(ctx, os.Stdout, c, all)
}

// choose returns the bugs that only names, or all.
func choose(all []bug, only string) (chosen []bug, err error) {
	if only == "" {
		return all, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		found := false
		for _, b := range all {
			if b.name == name {
				chosen, found = append(chosen, b), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no bug %q; -list names them", name)
		}
	}
	return chosen, nil
}

// seed runs the tests without a bug, and then with one after the other.
func seed(ctx context.Context, out io.Writer, c *copied, all []bug) error {
	begin := time.Now()
	if err := unseeded(ctx, out, c, all); err != nil {
		return err
	}
	width := len("bug")
	for _, b := range all {
		width = max(width, len(b.name))
	}
	fmt.Fprintf(out, "%-*s  %7s  %s\n", width, "bug", "seconds", "caught by")
	var failed []string
	for _, b := range all {
		start := time.Now()
		err := one(ctx, c, b)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		verdict := strings.Join(b.fails, ", ")
		if err != nil {
			failed = append(failed, b.name)
			verdict = "FAIL: " + err.Error()
		}
		fmt.Fprintf(out, "%-*s  %7.1f  %s\n", width, b.name, time.Since(start).Seconds(), verdict)
	}
	fmt.Fprintf(out, "%d caught, %d not, in %s\n", len(all)-len(failed), len(failed), time.Since(begin).Round(time.Second))
	if len(failed) > 0 {
		return fmt.Errorf("not caught: %s", strings.Join(failed, ", "))
	}
	return nil
}

// one seeds a bug and returns nil if it is caught.
func one(ctx context.Context, c *copied, b bug) error {
	if err := c.apply(ctx, b); err != nil {
		return err
	}
	r, err := c.test(ctx, b.command, b.fails)
	if undo := c.undo(ctx, b); undo != nil {
		return undo
	}
	if err != nil {
		return err
	}
	return r.caught(b.fails)
}

// unseeded runs all tests that have to fail, and wants them to pass.
func unseeded(ctx context.Context, out io.Writer, c *copied, all []bug) error {
	var commands []string
	tests := make(map[string][]string)
	for _, b := range all {
		if tests[b.command] == nil {
			commands = append(commands, b.command)
		}
		tests[b.command] = append(tests[b.command], b.fails...)
	}
	for _, command := range commands {
		start := time.Now()
		r, err := c.test(ctx, command, tests[command])
		if err == nil {
			err = r.passed(tests[command])
		}
		if err != nil {
			return fmt.Errorf("without a bug, %s: %w", command, err)
		}
		fmt.Fprintf(out, "passes without a bug, %.1f s: %s\n", time.Since(start).Seconds(), command)
	}
	return nil
}
