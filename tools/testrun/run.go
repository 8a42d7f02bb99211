package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Time       time.Time
	Action     string
	Package    string
	ImportPath string // of build-output and build-fail
	Test       string
	Output     string
	Elapsed    float64
}

// slow is the duration from which a single test gets a line of its own, so
// that a long run shows where it is.
const slow = 5 * time.Second

// run is one command and what became of it.
type run struct {
	line     string
	label    string // line without the values of its environment
	out      io.Writer
	packages map[string]*pkg
	builds   map[string]*strings.Builder // output of the compiler by ImportPath, until it is printed
	problems []string                    // what went wrong that is not a test's failure
	wall     time.Duration
	cpu      time.Duration // of the command and all that it waited for
}

// pkg is one package of a run.
type pkg struct {
	name    string
	tests   map[string]*test
	parents map[string]bool // the tests that have subtests
	order   []string
	output  strings.Builder // what no test wrote
	result  string          // pass, fail or skip; skip: it has no test files
	empty   bool            // it has test files, and none of their tests ran
	last    time.Time       // of its last event
}

// test is one test or subtest.
type test struct {
	name   string
	result string    // pass, fail, skip; empty: never finished
	began  time.Time // or went on, after it had waited for others
	took   time.Duration
	output strings.Builder
}

func newRun(line string, out io.Writer) *run {
	return &run{line: line, label: label(line), out: out, packages: map[string]*pkg{}, builds: map[string]*strings.Builder{}}
}

// label shortens a command to what tells it from the others: of an environment
// only whether it has the workspace.
func label(line string) string {
	words := strings.Fields(line)
	for i, word := range words {
		if !strings.Contains(word, "=") {
			command := strings.Join(words[i:], " ")
			if slices.Contains(words[:i], "GOWORK=off") {
				command = "GOWORK=off " + command
			}
			return command
		}
	}
	return line
}

func (r *run) problem(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.problems = append(r.problems, text)
	fmt.Fprintf(r.out, "FAIL\t%s\n", text)
}

// read takes in events until the stream ends. What is not JSON is passed on:
// the go command prints its own complaints as plain text.
func (r *run) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				fmt.Fprintf(r.out, "%s\n", line)
			} else {
				r.take(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *run) take(e event) {
	switch e.Action {
	case "build-output":
		if r.builds[e.ImportPath] == nil {
			r.builds[e.ImportPath] = &strings.Builder{}
		}
		r.builds[e.ImportPath].WriteString(e.Output)
		return
	case "build-fail":
		r.printBuild(e.ImportPath)
		return
	}
	if e.Package == "" {
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &pkg{name: e.Package, tests: map[string]*test{}, parents: map[string]bool{}}
		r.packages[e.Package] = p
	}
	p.last = e.Time
	if e.Test != "" {
		r.takeTest(p, e)
		return
	}
	switch e.Action {
	case "output":
		p.output.WriteString(e.Output)
		p.empty = p.empty || strings.Contains(e.Output, "no tests to run")
	case "pass", "fail", "skip":
		p.result = e.Action
		r.printPackage(p, e.Elapsed)
	}
}

func (r *run) takeTest(p *pkg, e event) {
	t := p.tests[e.Test]
	if t == nil {
		t = &test{name: e.Test}
		p.tests[e.Test] = t
		p.order = append(p.order, e.Test)
		if slash := strings.LastIndex(e.Test, "/"); slash >= 0 {
			p.parents[e.Test[:slash]] = true
		}
	}
	switch e.Action {
	case "run", "cont":
		t.began = e.Time
	case "output":
		t.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		t.result = e.Action
		t.took = time.Duration(e.Elapsed * float64(time.Second))
		if !strings.Contains(e.Test, "/") && e.Elapsed >= slow.Seconds() {
			fmt.Fprintf(r.out, "  %s\t%s\t%.1fs\n", e.Action, e.Test, e.Elapsed)
		}
	}
}

// printPackage prints what became of a package, in one piece: other lanes write
// to the same output.
func (r *run) printPackage(p *pkg, elapsed float64) {
	var out strings.Builder
	count := p.count()
	switch {
	case p.result == "skip":
		fmt.Fprintf(&out, "?   \t%s\t[no test files]\n", p.name)
	case p.result == "pass":
		fmt.Fprintf(&out, "ok  \t%s\t%.3fs\t%d tests, %d subtests\n", p.name, elapsed, count.tests, count.subtests)
	default:
		for _, name := range p.order {
			if t := p.tests[name]; t.result != "pass" && t.result != "skip" {
				out.WriteString(t.output.String())
			}
		}
		out.WriteString(p.output.String())
		fmt.Fprintf(&out, "FAIL\t%s\t%.3fs\n", p.name, elapsed)
	}
	for _, name := range p.order {
		if t := p.tests[name]; t.result == "skip" {
			fmt.Fprintf(&out, "%s(a skipped test counts as failed)\n", t.output.String())
		}
	}
	fmt.Fprint(r.out, out.String())
}

// printBuild prints what the compiler said of a package, in one piece.
func (r *run) printBuild(path string) {
	if said := r.builds[path]; said != nil {
		fmt.Fprint(r.out, said.String())
		delete(r.builds, path)
	}
}

// finish adds what the stream itself does not say.
func (r *run) finish(exit error) {
	for _, path := range sorted(r.builds) {
		r.printBuild(path) // of builds that did not fail
	}
	for _, name := range sorted(r.packages) {
		p := r.packages[name]
		c := p.count()
		for _, t := range p.tests {
			if t.result == "" && !t.began.IsZero() {
				t.took = p.last.Sub(t.began)
			}
		}
		switch {
		case p.result == "":
			r.problem("%s did not finish", name)
		case p.result == "fail" && c.failed == 0:
			r.problem("%s failed outside its tests", name)
		case p.empty:
			r.problem("%s ran none of its tests", name)
		case p.result == "pass" && r.namesSubtests() && c.subtests == 0:
			r.problem("%s ran none of its subtests", name)
		}
	}
	total := r.count()
	if total.all() == 0 {
		r.problem("no test ran")
	}
	if exit != nil && total.failed == 0 && len(r.problems) == 0 {
		r.problem("go test: %v", exit)
	}
}

// namesSubtests reports whether the command's -run has a part for subtests. To go
// test, a test that has none of its own matches.
func (r *run) namesSubtests() bool {
	words := strings.Fields(r.line)
	for i, word := range words {
		flag, value, joined := strings.Cut(word, "=")
		if flag != "-run" && flag != "--run" {
			continue
		}
		if !joined && i+1 < len(words) {
			value = words[i+1]
		}
		return strings.Contains(value, "/")
	}
	return false
}

// tally counts tests. Subtests are counted at every depth.
type tally struct {
	tests, subtests         int // whatever became of them
	passed, failed, skipped int
}

func (t tally) all() int { return t.tests + t.subtests }

func (t *tally) add(c *test) {
	if strings.Contains(c.name, "/") {
		t.subtests++
	} else {
		t.tests++
	}
	switch c.result {
	case "pass":
		t.passed++
	case "skip":
		t.skipped++
		t.failed++
	default: // A test that never finished hung or died.
		t.failed++
	}
}

func (p *pkg) count() tally {
	var sum tally
	for _, t := range p.tests {
		sum.add(t)
	}
	return sum
}

func (r *run) count() tally {
	var sum tally
	for _, p := range r.packages {
		for _, t := range p.tests {
			sum.add(t)
		}
	}
	return sum
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
