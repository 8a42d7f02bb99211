package pages_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A line of the log, as the code writes it.
type logLine struct {
	level, message string
	keys           []string
	at             token.Position
}

// levels maps the methods of a slog.Logger to their level, and to where the
// message is among their arguments.
var levels = map[string]struct {
	level   string
	message int
}{
	"Debug": {"DEBUG", 0}, "DebugContext": {"DEBUG", 1},
	"Info": {"INFO", 0}, "InfoContext": {"INFO", 1},
	"Warn": {"WARN", 0}, "WarnContext": {"WARN", 1},
	"Error": {"ERROR", 0}, "ErrorContext": {"ERROR", 1},
	"Log": {"", 2}, "LogAttrs": {"", 2},
}

// keyName is how the keys of the log are spelled, here and everywhere.
var keyName = regexp.MustCompile("^[a-z]+(_[a-z]+)*$")

// TestEveryLogLineHasItsRow: an operator who meets a line finds it on the page,
// with the level and the keys that it has, and no other.
func TestEveryLogLineHasItsRow(t *testing.T) {
	rows := map[string][]string{}
	for _, row := range table(t, "Level", "Message", "Keys", "Meaning", "Action") {
		message := only(t, row[1])
		if rows[message] != nil {
			t.Errorf("two rows for %q", message)
		}
		rows[message] = row
		if row[3] == "" || row[4] == "" {
			t.Errorf("%q: no meaning, or nothing to do", message)
		}
	}
	lines := libraryLines(t)
	if len(lines) < 30 {
		t.Fatalf("only %d lines found: does this test still read the code?", len(lines))
	}
	written := map[string]bool{}
	for _, line := range lines {
		for _, key := range line.keys {
			if !keyName.MatchString(key) {
				t.Errorf("%v logs %q with the key %q, want words in lower case with _ between them", line.at, line.message, key)
			}
		}
		written[line.message] = true
		row := rows[line.message]
		if row == nil {
			t.Errorf("%v logs %q, which has no row", line.at, line.message)
			continue
		}
		if line.level != "" && row[0] != line.level {
			t.Errorf("%v logs %q with level %s, its row says %s", line.at, line.message, line.level, row[0])
		}
		for _, key := range line.keys {
			if !slices.Contains(codes(row[2]), key) {
				t.Errorf("%v logs %q with the key %q, which its row lacks", line.at, line.message, key)
			}
		}
	}
	for message := range rows {
		if !written[message] {
			t.Errorf("nothing logs %q", message)
		}
	}
}

// libraryLines returns all log lines of the library.
func libraryLines(t *testing.T) []logLine {
	t.Helper()
	var lines []logLine
	for _, dir := range []string{"backend", "election", "lock", "counter", "membership", "partition", "restart", "quota", "schedule", "ids", "debug", "internal"} {
		err := filepath.WalkDir(filepath.Join(top, dir), func(name string, d fs.DirEntry, err error) error {
			switch base := d.Name(); {
			case err != nil:
				return err
			case d.IsDir() && (base == "testdata" || strings.HasSuffix(base, "test")): // drivertest, electiontest...
				return fs.SkipDir
			case d.IsDir() || !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go"):
				return nil
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			switch path.Base(filepath.ToSlash(filepath.Dir(name))) {
			case "etcd", "consul", "zookeeper", "postgres": // a driver has no logger of the Store's, and should not bring one
				for _, i := range file.Imports {
					if i.Path.Value == `"log"` || i.Path.Value == `"log/slog"` {
						t.Errorf("%s imports %s: an adapter does not log", name, i.Path.Value)
					}
				}
				return nil
			}
			found, err := linesOf(fset, file)
			lines = append(lines, found...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

// linesOf returns the log lines of a file. Whatever looks like one counts, but
// http.Error: nothing else here has one of these names and takes arguments.
func linesOf(fset *token.FileSet, file *ast.File) (lines []logLine, err error) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := method.X.(*ast.Ident); ok && x.Name == "http" {
			return true // http.Error is an answer
		}
		level, ok := levels[method.Sel.Name]
		if !ok || len(call.Args) <= level.message {
			return true
		}
		line := logLine{level: level.level, at: fset.Position(call.Pos())}
		message, literal := text(call.Args[level.message])
		if !literal {
			err = fmt.Errorf("%v: the message is no literal, so that it cannot be looked up", line.at)
			return true
		}
		line.message = message
		args := call.Args[level.message+1:]
		if call.Ellipsis.IsValid() {
			args = nil
		}
		for i := 0; i < len(args); i += 2 {
			key, literal := text(args[i])
			if !literal {
				err = fmt.Errorf("%v: the key %d of %q is no literal", line.at, i/2, message)
				return true
			}
			line.keys = append(line.keys, key)
		}
		lines = append(lines, line)
		return true
	})
	return lines, err
}

func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// TestLinesOf tests the test.
func TestLinesOf(t *testing.T) {
	parse := func(body string) ([]logLine, error) {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "x.go", "package x\nfunc _() {\n"+body+"\n}", 0)
		if err != nil {
			t.Fatal(err)
		}
		return linesOf(fset, file)
	}
	lines, err := parse(`s.Logger().Info("a b", "x", 1, "y", err.Error()); l.Log(ctx, level, "c", attrs...); log.WarnContext(ctx, "d")`)
	if err != nil || len(lines) != 3 {
		t.Fatalf("%v, %v", lines, err)
	}
	if l := lines[0]; l.level != "INFO" || l.message != "a b" || !slices.Equal(l.keys, []string{"x", "y"}) {
		t.Errorf("%+v", l)
	}
	if l := lines[1]; l.level != "" || l.message != "c" || l.keys != nil {
		t.Errorf("%+v", l)
	}
	if l := lines[2]; l.level != "WARN" || l.message != "d" {
		t.Errorf("%+v", l)
	}
	for _, bad := range []string{`l.Warn("a" + b)`, `l.Error(message)`, `l.Info("a", key, 1)`} {
		if lines, err := parse(bad); err == nil {
			t.Errorf("%s: %+v, want an error", bad, lines)
		}
	}
}
