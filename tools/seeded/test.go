package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// arguments turns a command and the tests that it has to run into words.
func arguments(command string, tests []string) ([]string, error) {
	words := strings.Fields(command)
	if len(words) < 3 || words[0] != "go" || words[1] != "test" {
		return nil, fmt.Errorf("%q is not a `go test` command", command)
	}
	at := 2
	if words[at] == "-C" { // has to stay the first
		at += 2
	}
	if at >= len(words) || strings.HasPrefix(words[len(words)-1], "-") {
		return nil, fmt.Errorf("%q names no package", command)
	}
	added := []string{"-json", "-count=1", "-vet=off", "-run=" + pattern(tests)}
	for _, word := range words {
		switch name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "="); {
		case !strings.HasPrefix(word, "-"):
		case name == "run" || name == "json" || name == "count" || name == "vet":
			return nil, fmt.Errorf("%q sets -%s itself", command, name)
		}
	}
	if !strings.Contains(command, " -timeout") {
		// A test that waits for ever, for the bug, has failed.
		added = append(added, "-timeout=2m")
	}
	return slices.Insert(words, at, added...), nil
}

// pattern matches these tests, and what contains them, and nothing else.
func pattern(tests []string) string {
	var alternatives []string
	for _, test := range tests {
		elements := strings.Split(test, "/")
		for i, e := range elements {
			elements[i] = "^" + regexp.QuoteMeta(e) + "$"
		}
		if one := strings.Join(elements, "/"); !slices.Contains(alternatives, one) {
			alternatives = append(alternatives, one)
		}
	}
	return strings.Join(alternatives, "|")
}

// report is what a test command said.
type report struct {
	results  map[string]string // by test: pass, fail, skip; empty: never finished
	compiled bool
	ended    error // of the command
	output   tail
}

// test runs a command in the copy, with these tests.
func (c *copied) test(ctx context.Context, command string, tests []string) (*report, error) {
	words, err := arguments(command, tests)
	if err != nil {
		return nil, err
	}
	r := &report{results: make(map[string]string), compiled: true}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = c.dir
	// Interrupted, go test still ends its test binaries.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	var complaints tail
	cmd.Stderr = &complaints
	events, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewReader(events); err == nil; {
		var line []byte
		line, err = lines.ReadBytes('\n')
		r.take(line)
	}
	r.ended = cmd.Wait()
	r.output = append(r.output, complaints...)
	return r, ctx.Err()
}

// tail is the end of what was written: a test with a bug may go round in
// circles, complaining, until its time is up.
type tail []byte

const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if extra := len(*t) - tailSize; extra > tailSize {
		*t = append((*t)[:0], (*t)[extra:]...)
	}
	return len(p), nil
}

// take takes in a line of `go test -json`; see `go doc test2json`.
func (r *report) take(line []byte) {
	var event struct{ Action, Test, Output, FailedBuild string }
	if json.Unmarshal(line, &event) != nil {
		_, _ = r.output.Write(line)
		return
	}
	_, _ = r.output.Write([]byte(event.Output))
	switch event.Action {
	case "build-fail":
		r.compiled = false
	case "run":
		r.results[event.Test] = ""
	case "pass", "fail", "skip":
		if event.Test != "" {
			r.results[event.Test] = event.Action
		}
		if event.FailedBuild != "" {
			r.compiled = false
		}
	}
}

// caught returns nil if all of these tests ran and failed.
func (r *report) caught(tests []string) error {
	if err := r.ran(tests); err != nil {
		return err
	}
	var deaf []string
	for _, test := range tests {
		if result := r.results[test]; result == "pass" || result == "skip" || r.ended == nil {
			deaf = append(deaf, test)
		}
	}
	if len(deaf) > 0 {
		return fmt.Errorf("not caught by %s", strings.Join(deaf, ", "))
	}
	return nil
}

// passed returns nil if all of these tests ran and passed.
func (r *report) passed(tests []string) error {
	if err := r.ran(tests); err != nil {
		return err
	}
	for _, test := range tests {
		if r.results[test] != "pass" {
			return fmt.Errorf("%s did not pass:\n%s", test, r.output)
		}
	}
	if r.ended != nil {
		return fmt.Errorf("%w:\n%s", r.ended, r.output)
	}
	return nil
}

// ran returns nil if the tests were compiled and all of these were run.
func (r *report) ran(tests []string) error {
	if !r.compiled {
		return fmt.Errorf("it does not compile, which catches nothing:\n%s", r.output)
	}
	if len(r.results) == 0 && r.ended != nil {
		return fmt.Errorf("%w:\n%s", r.ended, r.output)
	}
	for _, test := range tests {
		if _, ok := r.results[test]; !ok {
			return fmt.Errorf("%w: there is no %s", errNotRun, test)
		}
	}
	return nil
}

var errNotRun = errors.New("a test did not run")
