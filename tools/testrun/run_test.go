package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRun runs real go test commands, because what matters is what the go
// command really reports.
func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		line  string   // {} stands for the directory
		want  []string // in the output
		last  string
	}{
		"all is well": {
			files: map[string]string{"a_test.go": `func TestMemory(t *testing.T) { t.Run("x", func(*testing.T) {}) }`},
			line:  "go test -C {} ./...",
			want:  []string{"ok  \tx.test", "1 tests, 1 subtests", "1      1         0       0        memory"},
			last:  "2 passed, 0 failed",
		},
		"the slowest tests and the time": {
			files: map[string]string{"a_test.go": `func TestA(t *testing.T) { t.Run("x", func(*testing.T) {}) }`},
			line:  "go test -C {} ./...",
			want:  []string{"slowest  test     package", "0s       TestA/x  x.test\nwall time 1s, CPU time "},
			last:  "2 passed, 0 failed",
		},
		"a failure": {
			files: map[string]string{"a_test.go": `func TestA(t *testing.T) { t.Error("the reason") }; func TestB(*testing.T) {}`},
			line:  "go test -C {} ./...",
			want:  []string{"the reason", "FAIL\tx.test\tTestA"},
			last:  "1 passed, 1 failed",
		},
		"a skip": {
			files: map[string]string{"a_test.go": `func TestA(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Skip("the excuse") }) }`},
			line:  "go test -C {} ./...",
			want:  []string{"the excuse", "SKIP\tx.test\tTestA/sub"},
			last:  "1 passed, 1 failed",
		},
		"a package that runs none of its tests": {
			files: map[string]string{"a_test.go": `func TestA(*testing.T) {}`, "b/b_test.go": `func TestB(*testing.T) {}`},
			line:  "go test -C {} -run TestA ./...",
			want:  []string{"x.test/b ran none of its tests"},
			last:  "1 passed, 1 failed",
		},
		"a package that runs none of its subtests": {
			files: map[string]string{
				"a_test.go":   `func TestA(t *testing.T) { t.Run("x", func(*testing.T) {}) }`,
				"b/b_test.go": `func TestA(t *testing.T) { t.Run("y", func(*testing.T) {}) }`,
				"c/c_test.go": `func TestA(*testing.T) {}`,
			},
			line: "go test -C {} -run ^TestA$/^x$ ./...",
			want: []string{"x.test/b ran none of its tests", "x.test/c ran none of its subtests"},
			last: "4 passed, 2 failed",
		},
		"a test without subtests where none are named": {
			files: map[string]string{"a_test.go": `func TestA(*testing.T) {}`},
			line:  "go test -C {} -run=^TestA$ ./...",
			last:  "1 passed, 0 failed",
		},
		"no tests at all": {
			files: map[string]string{"a.go": ""},
			line:  "go test -C {} ./...",
			want:  []string{"no test ran"},
			last:  "0 passed, 1 failed",
		},
		"no such package": {
			files: map[string]string{"a.go": ""},
			line:  "go test -C {} ./nowhere",
			last:  "0 passed, 2 failed",
		},
		"does not compile": {
			files: map[string]string{"a_test.go": `func TestA(*testing.T) { undefined() }`, "b/b_test.go": `func TestB(*testing.T) {}`},
			line:  "go test -C {} ./...",
			want:  []string{"undefined: undefined", "x.test failed outside its tests"},
			last:  "1 passed, 1 failed",
		},
		"exits in the middle": {
			files: map[string]string{"a_test.go": `func TestA(*testing.T) { os.Exit(0) }`, "b.go": ""},
			line:  "go test -C {} ./...",
			want:  []string{"x.test"},
			last:  "0 passed, 1 failed",
		},
		"times out": {
			files: map[string]string{"a_test.go": `func TestA(*testing.T) { select {} }`},
			line:  "go test -C {} -timeout 1s ./...",
			want:  []string{"test timed out after 1s", "UNFINISHED\tx.test\tTestA", "TestA (unfinished)  x.test\n"},
			last:  "0 passed, 1 failed",
		},
		"environment": {
			files: map[string]string{"a_test.go": `func TestA(t *testing.T) { if os.Getenv("QUORATE_X") != "y=z" { t.Error(os.Environ()) } }`},
			line:  "QUORATE_X=y=z go test -C {} ./...",
			last:  "1 passed, 0 failed",
		},
		"not a test": {line: "go vet ./...", want: []string{"not a `go test` command"}, last: "0 passed, 1 failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "go.mod"), "module x.test\n\ngo 1.25.0\n")
			for file, body := range c.files {
				if strings.HasSuffix(file, "_test.go") {
					body = "import (\n\"os\"\n\"testing\"\n)\nvar _ = os.Args\n" + body
				}
				write(t, filepath.Join(dir, file), "package x\n"+body)
			}
			var out strings.Builder
			r := newRun("GOWORK=off "+strings.ReplaceAll(c.line, "{}", dir), &out)
			execute(t.Context(), r)
			ok := report(&out, []*run{r}, time.Second)
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output lacks %q", want)
				}
			}
			if !strings.HasSuffix(out.String(), "\n"+c.last+"\n") {
				t.Errorf("the last line is not %q", c.last)
			}
			if want := strings.HasSuffix(c.last, " 0 failed"); ok != want {
				t.Errorf("all is well: %v, want %v", ok, want)
			}
			if t.Failed() {
				t.Logf("output:\n%s", &out)
			}
		})
	}
}

// TestUnfinished: a test that never finished counts among the slowest, with the
// time since it went on.
func TestUnfinished(t *testing.T) {
	var out strings.Builder
	r := newRun("go test ./x", &out)
	err := r.read(strings.NewReader(`
{"Time":"2026-01-02T03:04:00Z","Action":"run","Package":"x","Test":"TestA"}
{"Time":"2026-01-02T03:04:00Z","Action":"run","Package":"x","Test":"TestA/y"}
{"Time":"2026-01-02T03:04:00Z","Action":"pause","Package":"x","Test":"TestA/y"}
{"Time":"2026-01-02T03:04:05Z","Action":"cont","Package":"x","Test":"TestA/y"}
{"Time":"2026-01-02T03:04:45Z","Action":"fail","Package":"x","Elapsed":45}
`))
	if err != nil {
		t.Fatal(err)
	}
	r.finish(errors.New("exit status 1"))
	report(&out, []*run{r}, time.Minute)
	if want := "40s      TestA/y (unfinished)  x\n"; !strings.Contains(out.String(), want) {
		t.Errorf("the output lacks %q:\n%s", want, &out)
	}
}

// TestPackageInOnePiece: other lanes write between two writes of a lane.
func TestPackageInOnePiece(t *testing.T) {
	var out countingWriter
	r := newRun("go test ./x", &out)
	err := r.read(strings.NewReader(`
{"Action":"run","Package":"x","Test":"TestA"}
{"Action":"output","Package":"x","Test":"TestA","Output":"the reason\n"}
{"Action":"fail","Package":"x","Test":"TestA"}
{"Action":"output","Package":"x","Output":"FAIL\n"}
{"Action":"fail","Package":"x"}
`))
	if err != nil || out != 1 {
		t.Errorf("%d writes, %v, want one", out, err)
	}
}

// countingWriter counts the writes.
type countingWriter int

func (w *countingWriter) Write(p []byte) (int, error) {
	*w++
	return len(p), nil
}

// TestLanes: lanes run side by side, and phases one after the other.
func TestLanes(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module x.test\n\ngo 1.25.0\n")
	// Each lane waits for the other's file; the phase after them finds both.
	write(t, filepath.Join(dir, "a_test.go"), `package x
import ("os"; "testing"; "time")
func meet(t *testing.T, own, other string) {
	if err := os.WriteFile(own, nil, 0o600); err != nil { t.Fatal(err) }
	for range 600 {
		if _, err := os.Stat(other); err == nil { return }
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("alone")
}
func TestOne(t *testing.T) { meet(t, "one", "two") }
func TestTwo(t *testing.T) { meet(t, "two", "one") }
func TestAfter(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		if _, err := os.Stat(name); err != nil { t.Error(err) }
	}
}
`)
	command := "GOWORK=off go test -C " + dir + " -run "
	var runs []*run
	for _, phase := range split([]string{command + "One", "--", command + "Two", "--then", command + "After"}, "--then") {
		runs = append(runs, executeLanes(t.Context(), split(phase, "--"), &lockedWriter{out: io.Discard})...)
	}
	if len(runs) != 3 {
		t.Fatalf("%d runs, want 3", len(runs))
	}
	for i, test := range []string{"One", "Two", "After"} {
		if r := runs[i]; r.count() != (tally{tests: 1, passed: 1}) || !strings.HasSuffix(r.label, test) {
			t.Errorf("run %d: %s: %+v", i, r.label, r.count())
		}
	}
}

func TestParse(t *testing.T) {
	env, args, err := parse("A=1 B=2 go test -C dir -race ./...")
	if err != nil || !slices.Equal(env, []string{"A=1", "B=2"}) || !slices.Equal(args, []string{"go", "test", "-C", "dir", "-json", "-race", "./..."}) {
		t.Errorf("parse = %q, %q, %v", env, args, err)
	}
	if _, args, err := parse("nice -n 10 go test ./..."); err != nil || !slices.Equal(args, []string{"nice", "-n", "10", "go", "test", "-json", "./..."}) {
		t.Errorf("parse with nice = %q, %v", args, err)
	}
	for _, bad := range []string{"", "A=1", "go", "go vet", "go test -C"} {
		if _, args, err := parse(bad); err == nil {
			t.Errorf("parse(%q) = %q, want an error", bad, args)
		}
	}
}

func TestLabel(t *testing.T) {
	for line, want := range map[string]string{
		"go test ./...":                          "go test ./...",
		"A=1 go test -run=X ./...":               "go test -run=X ./...",
		"GOWORK=off GOPROXY=file go test -C a b": "GOWORK=off go test -C a b",
	} {
		if got := label(line); got != want {
			t.Errorf("label(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestDriverOf(t *testing.T) {
	for _, c := range []struct{ pkg, test, want string }{
		{"q/backend/memory", "TestConformance/C1", "memory"},
		{"q/integration/conformance", "TestEtcd/C1", "etcd"},
		{"q/integration/overlap", "TestOverlap/zookeeper/pause", "zookeeper"},
		{"q/backend/etcd", "TestClassify", "etcd"},
		{"q/integration/conformance", "TestCounterPostgres/C1", "postgres"},
		{"q/etcd/other", "TestClassify", ""},
	} {
		if got := driverOf(c.pkg, c.test); got != c.want {
			t.Errorf("driverOf(%q, %q) = %q, want %q", c.pkg, c.test, got, c.want)
		}
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}
