package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const top = "../.."

// TestBugs holds the bugs themselves to the tree: they apply to it, and name
// guarantees that are given.
func TestBugs(t *testing.T) {
	all, err := load("bugs")
	if err != nil {
		t.Fatal(err)
	}
	guarantees, err := os.ReadFile(filepath.Join(top, "docs/guarantees.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(string(guarantees)), " ")
	abs, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCopy(t.Context(), abs, filepath.Join(t.TempDir(), "tree"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		if !strings.Contains(words, b.breaks) {
			t.Errorf("%s: docs/guarantees.md does not say %q", b.name, b.breaks)
		}
		if err := c.apply(t.Context(), b); err != nil {
			t.Errorf("%s: %v", b.name, err)
		} else if err := c.undo(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPageIsUpToDate(t *testing.T) {
	all, err := load("bugs")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(top, page)); err != nil || !bytes.Equal(got, document(all)) {
		t.Errorf("%s is not what `bin/seeded -docs` writes (%v)", page, err)
	}
}

// flip is a patch of the tree of TestSeed.
const flip = `
--- a/x.go
+++ b/x.go
@@ -1,3 +1,3 @@
 package x
 
-func Answer() int { return 42 }
+func Answer() int { return 41 }
`

// TestSeed seeds bugs into a small tree, with real go test commands: what
// matters is what the go command really reports.
func TestSeed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module x.test\n\ngo 1.25.0\n")
	write("x.go", "package x\n\nfunc Answer() int { return 42 }\n")
	write("x_test.go", `package x
import "testing"
func TestAnswer(t *testing.T) {
	for _, name := range []string{"right", "fine"} {
		t.Run(name, func(t *testing.T) { if Answer() != 42 && name == "right" { t.Error(Answer()) } })
	}
}
func TestPanics(*testing.T) { if Answer() != 42 { panic("wrong") } }
func TestHangs(*testing.T) { if Answer() != 42 { select {} } }
func TestDeaf(*testing.T) {}
func TestWrong(t *testing.T) { t.Error("always") }
`)
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	write("untracked.go", "package broken\n")
	t.Setenv("GOWORK", "off")
	// Within the repository, as the real one is.
	c, err := newCopy(t.Context(), dir, filepath.Join(dir, ".cache", "seeded"))
	if err != nil {
		t.Fatal(err)
	}
	made := func(name, fails, patch string) bug {
		t.Helper()
		b, err := parse(name, []byte("Bug: a bug\nBreaks: all\nTest: go test -timeout=2s .\nFails: "+fails+"\n"+patch))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	is := func(err error, want string) {
		t.Helper()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		got, err := os.ReadFile(filepath.Join(c.dir, "x.go"))
		if err != nil || !strings.Contains(string(got), "42") {
			t.Errorf("the copy has a bug still: %s, %v", got, err)
		}
	}
	for _, s := range []struct{ name, fails, patch, want string }{
		{"a panic", "TestPanics", flip, ""},
		{"a test that never ends", "TestHangs", flip, ""},
		{"one does not notice", "TestAnswer/right TestAnswer/fine", flip, "not caught by TestAnswer/fine"},
		{"one is not there", "TestAnswer TestNowhere", flip, "there is no TestNowhere"},
		{"does not apply", "TestAnswer", strings.ReplaceAll(flip, "42", "43"), "the patch no longer applies"},
		{"does not compile", "TestAnswer", strings.ReplaceAll(flip, "41", "forty"), "does not compile"},
	} {
		t.Run(s.name, func(t *testing.T) { is(one(t.Context(), c, made(s.name, s.fails, s.patch)), s.want) })
	}
	t.Run("fails without a bug", func(t *testing.T) {
		err := seed(t.Context(), io.Discard, c, []bug{made("x", "TestWrong", flip)})
		is(err, "without a bug, go test -timeout=2s .: TestWrong did not pass")
	})
	t.Run("table", func(t *testing.T) {
		var out strings.Builder
		is(seed(t.Context(), &out, c, []bug{made("noticed", "TestAnswer TestAnswer/right", flip), made("unnoticed", "TestDeaf", flip)}), "not caught: unnoticed")
		for _, want := range []string{"noticed   ", "  TestAnswer, TestAnswer/right\n", "FAIL: not caught by TestDeaf\n", "1 caught, 1 not, in "} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the table lacks %q:\n%s", want, &out)
			}
		}
	})
}

func TestParse(t *testing.T) {
	good := "Bug: it is\n wrong\nBreaks: a promise\nTest: go test -C some/module ./pkg\nFails: TestA\n TestB/c,_d\n" + flip
	b, err := parse("x", []byte(good))
	if err != nil || b.what != "it is wrong" || b.breaks != "a promise" || strings.Join(b.fails, " ") != "TestA TestB/c,_d" {
		t.Errorf("parse = %+v, %v", b, err)
	}
	words, err := arguments(b.command, b.fails)
	want := "go test -C some/module -json -count=1 -vet=off -run=^TestA$|^TestB$/^c,_d$ -timeout=2m ./pkg"
	if got := strings.Join(words, " "); err != nil || got != want {
		t.Errorf("the command is %q, %v, want %q", got, err, want)
	}
	for what, c := range map[string]struct{ old, new, want string }{
		"a header is missing": {"Breaks: a promise\n", "", "Breaks is missing"},
		"a header is empty":   {"Breaks: a promise\n", "Breaks: \n", "Breaks is missing"},
		"there twice":         {"Bug: ", "Bug: one\nBug: ", "Bug is there twice"},
		"unknown":             {"Bug: ", "Note: one\nBug: ", "is no header"},
		"prose":               {"Bug: ", "Once upon a time\nBug: ", "is no header"},
		"no diff":             {"\n@@ ", "\n", "no unified diff"},
		"not a test":          {"TestA", "ExampleA", "not the name of a test"},
		"another command":     {"go test", "go vet", "not a `go test` command"},
		"no package":          {" ./pkg", "", "names no package"},
		"sets what we do":     {"./pkg", "-run=X ./pkg", "sets -run itself"},
	} {
		if _, err := parse("x", []byte(strings.Replace(good, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	all := []bug{{name: "a"}, {name: "b"}, {name: "c"}}
	if got, err := choose(all, ""); err != nil || len(got) != 3 {
		t.Errorf("all: %v, %v", got, err)
	}
	if got, err := choose(all, "c,a"); err != nil || len(got) != 2 || got[0].name != "c" {
		t.Errorf("two: %v, %v", got, err)
	}
	if _, err := choose(all, "a,d"); err == nil || !strings.Contains(err.Error(), `"d"`) {
		t.Errorf("one that is not there: %v", err)
	}
}
