package pages_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/bridge"
)

// whats are what the calls of Retry name by an expression, with an example of
// what it comes to.
var whats = map[string]string{
	"counter c.label": `counter "a"`, // or a tally's: see below
	"counter s.label": `sequence "a"`,
	"membership what": "leaving membership a",
}

// TestEveryRetryHasItsWord: whatever the library tries again has a word of its
// own in metrics, without a name in it.
func TestEveryRetryHasItsWord(t *testing.T) {
	found, used := 0, map[string]bool{}
	check := func(at token.Position, what string) {
		found++
		if kind := bridge.RetryKind(what); kind == bridge.Other || kind != bridge.RetryKind(what+"x") {
			t.Errorf("%v: %q has the word %q", at, what, kind)
		}
	}
	for _, dir := range []string{"backend", "election", "counter", "membership", "partition", "restart"} {
		err := filepath.WalkDir(filepath.Join(top, dir), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				what := whatOf(n)
				if what == nil {
					return true
				}
				at := fset.Position(what.Pos())
				switch e := what.(type) {
				case *ast.BasicLit:
					said, _ := text(e)
					check(at, said)
				case *ast.BinaryExpr:
					said, _ := text(e.X)
					check(at, said)
				default:
					key := dir + " " + types.ExprString(what)
					used[key] = true
					if whats[key] == "" {
						t.Errorf("%v: %s is not known to this test", at, key)
					} else {
						check(at, whats[key])
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check(token.Position{}, `tally "a"`)
	if found < 20 || len(used) != len(whats) {
		t.Errorf("%d calls found, by %d expressions: does this test still read the code?", found, len(used))
	}
}

// whatOf returns what a call of Retry, or a Retrying, says that it tries again;
// nil for anything else. That of Retry itself says what it is told.
func whatOf(n ast.Node) ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Retry" && len(n.Args) == 3 {
			return n.Args[1]
		}
	case *ast.CompositeLit:
		if id, ok := n.Type.(*ast.Ident); !ok || id.Name != "Retrying" {
			return nil
		}
		for _, e := range n.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok && types.ExprString(kv.Key) == "What" && types.ExprString(kv.Value) != "what" {
				return kv.Value
			}
		}
	}
	return nil
}
