package pages_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryCallThatWaitsHasItsRow: each exported call of the Store and the
// primitives that takes a context, or closes something, has its row in
// docs/calls.md; and each row is of a call that exists.
func TestEveryCallThatWaitsHasItsRow(t *testing.T) {
	rows := map[string]bool{}
	for line := range strings.Lines(read(t, "docs/calls.md")) {
		row := cells(line)
		if len(row) != 4 || row[0] == "Call" || row[0] == "---" {
			continue
		}
		for i, cell := range row {
			if cell == "" {
				t.Errorf("%s: the cell %d is empty", row[0], i)
			}
		}
		rows[only(t, row[0])] = true
	}
	exported := map[string]bool{}
	waiting := map[string]bool{}
	for _, dir := range []string{"backend", "election", "lock", "counter", "membership", "partition", "restart", "quota", "schedule", "ids", "route"} {
		for name, waits := range calls(t, dir) {
			exported[name] = true
			if waits {
				waiting[name] = true
			}
		}
	}
	if len(waiting) < 30 {
		t.Fatalf("only %d calls found: does this test still read the code?", len(waiting))
	}
	for name := range waiting {
		if !rows[name] {
			t.Errorf("%s may wait, and has no row in docs/calls.md", name)
		}
	}
	for name := range rows {
		if !exported[name] {
			t.Errorf("docs/calls.md has a row for %s, which is no call of these packages", name)
		}
	}
}

// calls returns the exported functions and methods of a package, and of each
// whether it takes a context or is a Close with an outcome.
func calls(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(top, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || !exportedReceiver(f) {
				continue
			}
			of := dir
			if f.Recv != nil {
				of = receiver(f)
			}
			waits := f.Name.Name == "Close" && f.Type.Results != nil
			for _, p := range f.Type.Params.List {
				waits = waits || isContext(p.Type)
			}
			if f.Type.Results != nil && isContext(f.Type.Results.List[0].Type) {
				waits = false // it derives a context
			}
			if params := f.Type.Params.List; f.Recv == nil && len(params) == 1 && isContext(params[0].Type) && !fails(f) {
				waits = false // it reads a value of the context
			}
			all[of+"."+f.Name.Name] = waits
		}
	}
	return all
}

// fails reports whether the last result of a function is an error.
func fails(f *ast.FuncDecl) bool {
	if f.Type.Results == nil {
		return false
	}
	last, ok := f.Type.Results.List[len(f.Type.Results.List)-1].Type.(*ast.Ident)
	return ok && last.Name == "error"
}

// receiver returns the name of a method's type.
func receiver(f *ast.FuncDecl) string {
	of := f.Recv.List[0].Type
	for {
		switch x := of.(type) {
		case *ast.StarExpr:
			of = x.X
		case *ast.IndexExpr:
			of = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func isContext(of ast.Expr) bool {
	s, ok := of.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Context"
}
