// Package pages tests that the Go in README.md and in docs compiles. It has no
// code of its own.
//
// A block that begins with a package clause is a whole program or package.
// Any other is a number of declarations, which are given a package clause and
// imports by the names that they use (see names). A block that is marked "go
// excerpt" is of something that is not in this repository: it must parse, and
// is allowed under docs/adr only.
package pages_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const top = "../.."

// names are the packages that a block of declarations may use without saying
// so, by what they are called there.
var names = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "io": "io", "log": "log", "os": "os", "slices": "slices",
	"slog": "log/slog", "time": "time", "tls": "crypto/tls", "testing": "testing", "synctest": "testing/synctest",
	"api": "github.com/hashicorp/consul/api", "clientv3": "go.etcd.io/etcd/client/v3", "zk": "github.com/go-zookeeper/zk",
	"backend": own("backend"), "driver": own("backend/driver"), "memory": own("backend/memory"), "faults": own("backend/faults"),
	"consul": own("backend/consul"), "etcd": own("backend/etcd"), "zookeeper": own("backend/zookeeper"),
	"postgres": own("backend/postgres"), "pgxpool": "github.com/jackc/pgx/v5/pgxpool",
	"counter": own("counter"), "election": own("election"), "membership": own("membership"),
	"partition": own("partition"), "restart": own("restart"), "quota": own("quota"), "schedule": own("schedule"), "ids": own("ids"), "debug": own("debug"),
	"otelquorate": own("bridge/otelquorate"), "promquorate": own("bridge/promquorate"), "http": "net/http",
	"prometheus": "github.com/prometheus/client_golang/prometheus",
}

func own(path string) string { return "github.com/quorate/quorate/" + path }

// block is a block of Go in a page.
type block struct {
	page    string // relative to the top
	line    int    // of its first line of code
	excerpt bool
	code    string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// blocksOf returns the blocks of Go in a page of Markdown.
func blocksOf(page, text string) (blocks []block, err error) {
	var open *block
	fence := ""
	line := 0
	for content := range strings.Lines(text) {
		line++
		content = strings.TrimRight(content, "\r\n")
		marks := content[:len(content)-len(strings.TrimLeft(content, "`"))]
		switch {
		case fence != "" && content == fence:
			if open != nil {
				blocks = append(blocks, *open)
			}
			fence, open = "", nil
		case fence != "" && open != nil:
			open.code += content + "\n"
		case fence == "" && len(marks) >= 3:
			fence = marks
			switch words := strings.Fields(content[len(marks):]); {
			case len(words) == 0 || !strings.EqualFold(words[0], "go") && !strings.EqualFold(words[0], "golang"):
			case len(words) == 1 && words[0] == "go":
				open = &block{page: page, line: line + 1}
			case len(words) == 2 && words[0] == "go" && words[1] == "excerpt":
				open = &block{page: page, line: line + 1, excerpt: true}
			default:
				return nil, fmt.Errorf("%s:%d: a block of Go is marked %q, not go or go excerpt", page, line, content)
			}
		case fence == "" && strings.HasPrefix(strings.TrimLeft(content, " \t>"), "```go"):
			return nil, fmt.Errorf("%s:%d: the fence of a block of Go begins its line", page, line)
		}
	}
	if fence != "" {
		return nil, fmt.Errorf("%s: the last block has no end", page)
	}
	return blocks, nil
}

// source returns the block as a file of a package of its own.
func (b block) source() (string, error) {
	if file, err := parser.ParseFile(token.NewFileSet(), "", b.code, parser.PackageClauseOnly); err == nil {
		if file.Name.Name == "main" && !strings.Contains(b.code, "\nfunc main() {\n") {
			return "", fmt.Errorf("%v: a program without func main", b)
		}
		return fmt.Sprintf("//line %s:%d\n%s", b.page, b.line, b.code), nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", "package block; "+b.code, 0)
	if err != nil {
		return "", fmt.Errorf("%v: neither a file nor declarations: %w", b, err)
	}
	used := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			// An identifier that the block does not declare is a package.
			if x, ok := s.X.(*ast.Ident); ok && x.Obj == nil && names[x.Name] != "" {
				used[x.Name] = true
			}
		}
		return true
	})
	var out strings.Builder
	out.WriteString("package block\n")
	for name := range names {
		if used[name] {
			fmt.Fprintf(&out, "import %s %q\n", name, names[name])
		}
	}
	fmt.Fprintf(&out, "//line %s:%d\n%s", b.page, b.line, b.code)
	return out.String(), nil
}

// pages returns README.md and all pages under docs.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{"README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			rel, err := filepath.Rel(top, name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, filepath.ToSlash(rel))
		}
	}
	return all
}

// TestBlocksCompile: what a page shows can be copied.
func TestBlocksCompile(t *testing.T) {
	var all []block
	programs := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(filepath.Join(top, page))
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := blocksOf(page, string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			switch {
			case !b.excerpt:
				all = append(all, b)
				if formatted, err := format.Source([]byte(b.code)); err != nil || string(formatted) != b.code {
					t.Errorf("%v is not as gofmt has it (%v)", b, err)
				}
				if strings.HasPrefix(b.code, "package main\n") && page == "README.md" {
					programs++
				}
			case !strings.HasPrefix(page, "docs/adr/"):
				t.Errorf("%v: an excerpt, outside docs/adr", b)
			default:
				if _, err := parser.ParseFile(token.NewFileSet(), "", "package block; "+b.code, 0); err != nil {
					t.Errorf("%v: %v", b, err)
				}
			}
		}
	}
	if programs != 1 {
		t.Errorf("README.md has %d programs, want one", programs)
	}
	if err := vet(t, all); err != nil {
		t.Error(err)
	}
}

// vet has go vet compile the blocks, each as a package of this module, in a
// directory that the go command's patterns pass over and that is gone after.
func vet(t *testing.T, blocks []block) (err error) {
	t.Helper()
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("testdata", "blocks") //nolint:usetesting // it has to lie in this module
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, os.RemoveAll(dir))
		_ = os.Remove("testdata") // unless another test is using it
	}()
	args := []string{"vet"}
	for i, b := range blocks {
		source, err := b.source()
		if err != nil {
			return err
		}
		pkg := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(pkg, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(pkg, "block.go"), []byte(source), 0o600); err != nil {
			return err
		}
		args = append(args, "./"+filepath.ToSlash(pkg))
	}
	out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go vet: %w\n%s", err, out)
	}
	return nil
}

// TestVet tests the test: what does not compile fails.
func TestVet(t *testing.T) {
	good := block{page: "good.md", line: 1, code: "func f(ctx context.Context, s *backend.Store) error { return s.Close() }\n"}
	bad := []block{
		{page: "no-such-method.md", line: 1, code: "func f(s *backend.Store) error { return s.Shut() }\n"},
		{page: "unused-import.md", line: 1, code: "package main\n\nimport \"os\"\n\nfunc main() {\n}\n"},
		{page: "unknown-package.md", line: 1, code: "var _ = filepath.Base\n"},
		{page: "wrong-verb.md", line: 1, code: "func f() { log.Printf(\"%d\", \"a\") }\n"},
	}
	err := vet(t, append([]block{good}, bad...))
	if err == nil {
		t.Fatal("vet found nothing")
	}
	for _, b := range bad {
		if !strings.Contains(err.Error(), b.page) {
			t.Errorf("%s is not named in\n%v", b.page, err)
		}
	}
	if strings.Contains(err.Error(), good.page) {
		t.Errorf("%s is good, but\n%v", good.page, err)
	}
	for _, code := range []string{
		"store, err := etcd.New(client, nil)\n",
		"package main\n\nfunc run() {}\n",
	} {
		if source, err := (block{code: code}).source(); err == nil {
			t.Errorf("%q became %q, want an error", code, source)
		}
	}
}

func TestBlocksOf(t *testing.T) {
	page := "a\n```go\nx\n```\n```sh\n```go\n```\n````go excerpt\n```\ny\n````\n"
	blocks, err := blocksOf("p", page)
	want := []block{{"p", 3, false, "x\n"}, {"p", 9, true, "```\ny\n"}}
	if err != nil || !slices.Equal(blocks, want) {
		t.Errorf("blocksOf = %+v, %v, want %+v", blocks, err, want)
	}
	for _, bad := range []string{"```go\nx\n", "```golang\n```\n", "```go skip\n```\n", "  ```go\n  ```\n", "> ```go\n"} {
		if blocks, err := blocksOf("p", bad); err == nil {
			t.Errorf("%q: %+v, want an error", bad, blocks)
		}
	}
	if all := pages(t); len(all) < 8 {
		t.Errorf("only the pages %q", all)
	}
}
