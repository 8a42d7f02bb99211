// Package edges tests which package of this repository may import which. It
// has no code of its own.
package edges_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"go/version"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root = "github.com/quorate/quorate"
	top  = "../.."
)

// third are the modules that the root module may bring to its importers, and
// with them everything that these require.
var third = []string{"github.com/cenkalti/backoff/v4", "golang.org/x/sync"}

// allowed says what of this repository a package may import outside its
// tests. The names are relative to the root; "x/..." stands for x and all
// below it. A package that is not listed may import nothing.
var allowed = map[string][]string{
	".":                       {},
	"internal/...":            {"internal/..."},
	"internal/office":         {"backend", "internal/..."},
	"internal/locktest":       {"backend/...", "lock", "internal/..."},
	"internal/electiontest":   {"backend/...", "election", "internal/..."},
	"internal/countertest":    {"backend/...", "counter", "internal/..."},
	"internal/membershiptest": {"backend/...", "membership", "internal/..."},
	"internal/memoryenv":      {"backend/...", "internal/..."},
	"backend":                 {"backend/driver", "internal/..."},
	"backend/driver":          {},
	"backend/drivertest":      {"backend/driver"},
	"backend/faults":          {"backend", "backend/driver", "internal/..."},
	"backend/memory":          {"backend", "backend/driver", "internal/..."},
	"internal/checkpointtest": {"backend/...", "restart", "internal/..."},
	"internal/quotatest":      {"backend/...", "quota", "internal/..."},
	"internal/scheduletest":   {"backend/...", "schedule", "internal/..."},
	"internal/idstest":        {"backend/...", "ids", "lock", "internal/..."},
	"internal/writetest":      {"backend/...", "election", "internal/..."},
	"internal/removable":      {"backend", "internal/..."},
	"internal/partitiontest":  {"backend/...", "membership", "partition", "internal/..."},
	"internal/bridgetest":     {"backend/...", "election", "membership", "partition", "internal/..."},
	"internal/pages":          {"backend/...", "election", "lock", "counter", "membership", "partition", "restart", "quota", "schedule", "ids", "bridge", "internal/..."},
	"internal/simulation":     {"backend/...", "election", "lock", "counter", "membership", "partition", "restart", "internal/..."},
	"internal/policy":         {"backend/...", "counter", "membership", "partition", "restart", "quota", "ids"},

	"backend/etcd/...":      {"backend", "backend/driver", "backend/etcd/..."},
	"backend/consul/...":    {"backend", "backend/driver", "backend/consul/..."},
	"backend/zookeeper/...": {"backend", "backend/driver", "backend/zookeeper/..."},
	"backend/postgres/...":  {"backend", "backend/driver", "backend/postgres/..."},

	"election/...":   {"backend", "backend/driver", "internal/...", "election/..."},
	"lock/...":       {"backend", "internal/...", "lock/..."},
	"counter/...":    {"backend", "backend/driver", "internal/...", "counter/..."},
	"membership/...": {"backend", "internal/...", "membership/..."},
	"partition/...":  {"backend", "internal/...", "partition/...", "membership"},
	"restart/...":    {"backend", "internal/...", "restart/..."},
	"quota/...":      {"backend", "internal/...", "quota/..."},
	"ids/...":        {"backend", "internal/...", "ids/..."},
	// Composed of primitives (docs/adr/0011).
	"schedule/...": {"backend", "internal/...", "schedule/...", "election", "restart"},

	// Composed of a partition's plan and its slots.
	"route":           {"backend", "partition"},
	"route/httproute": {"backend", "partition", "route"},
	"route/grpcroute": {"backend", "partition", "route"},

	"debug": {"backend", "election", "counter", "membership", "partition"},

	"bridge":             {"backend", "election", "lock", "partition"},
	"bridge/otelquorate": {"backend", "bridge"},
	"bridge/promquorate": {"backend", "bridge"},

	"open/...": {"backend", "backend/..."},

	"examples/...": {
		"open", "backend/...", "election", "lock", "counter", "membership", "partition", "restart", "quota", "schedule", "ids", "route/...", "debug", "bridge/...", "examples/...",
	},
	"integration/...": {
		"backend/...", "internal/...", "election", "lock", "counter", "membership", "partition", "restart", "quota", "schedule", "ids", "route/...", "debug", "bridge/...", "integration/...",
	},
	"tools/...": {"tools/..."},
}

// allowedInTests is what the tests of any package may import besides; but an
// adapter is for the tests of its own module only.
var allowedInTests = []string{"backend/...", "internal/..."}

// alsoInTests is what the tests of a package may import beside that: a node of
// package ids is a permit of a semaphore, in its examples too. The owners that the
// tests of a transport ask are members of a group.
var alsoInTests = map[string][]string{"ids/...": {"lock"}, "route/httproute": {"membership"}, "route/grpcroute": {"membership"}}

// support are packages for tests alone, though they are no tests themselves.
var support = []string{"backend/drivertest", "internal/electiontest", "internal/locktest", "internal/countertest", "internal/memoryenv", "internal/checkpointtest", "internal/membershiptest", "internal/partitiontest", "internal/quotatest", "internal/scheduletest", "internal/idstest", "internal/writetest", "internal/bridgetest", "internal/seeds"}

// adapters drag a store's client into the module of whoever imports them.
var adapters = []string{"backend/etcd/...", "backend/consul/...", "backend/zookeeper/...", "backend/postgres/..."}

// TestEdges reads the imports of every Go file in the tree, whatever its build
// tags and whichever module it lies in.
func TestEdges(t *testing.T) {
	used := map[string]bool{}
	for name, imports := range files(t) {
		dir := path.Dir(name)
		rule, ok := ruleOf(dir)
		if !ok {
			t.Errorf("%s: no rule says what its package may import; add one to this test and to .golangci.yml", name)
			continue
		}
		used[rule] = true
		inTest := strings.HasSuffix(name, "_test.go")
		for _, i := range imports {
			if !mayImport(dir, i, inTest) {
				t.Errorf("%s imports %s, which %s must not", name, i, rule)
			}
		}
	}
	for _, rule := range []string{"internal/...", "backend", "backend/driver", "backend/drivertest", "backend/memory"} {
		if !used[rule] {
			t.Errorf("no file is under the rule for %s: does this test still read the tree?", rule)
		}
	}
}

// TestRules tests the test: that what must not be is refused.
func TestRules(t *testing.T) {
	for _, edge := range [][2]string{
		{"election", "backend/memory"},
		{"election", "backend/etcd"},
		{"election", "backend/postgres"},
		{"backend/postgres", "internal/trust"},
		{"election", "counter"},
		{"lock", "election"},
		{"lock", "internal/locktest"},
		{"internal/office", "election"},
		{"membership", "partition"},
		{"partition", "election"},
		{"backend", "backend/memory"},
		{"backend", "election"},
		{"backend/driver", "backend"},
		{"backend/drivertest", "backend"},
		{"backend/etcd", "internal/trust"},
		{"backend/etcd", "backend/consul"},
		{"backend/etcd/auth", "election"},
		{"internal/trust", "backend"},
		{"examples/tour", "integration/cluster"},
		{"election", "integration/cluster"},
		{"election", "internal/electiontest"},
		{"counter", "internal/countertest"},
		{"restart", "internal/checkpointtest"},
		{"restart", "election"},
		{"quota", "counter"},
		{"ids", "election"},
		{"election", "schedule"},
		{"schedule", "counter"},
		{"partition", "route"},
		{"route", "route/httproute"},
		{"route/httproute", "membership"},
		{"membership", "internal/membershiptest"},
		{"backend", "backend/drivertest"},
		{"internal/memoryenv", "backend/etcd"},
		{"backend", "bridge"},
		{"backend", "debug"},
		{"election", "debug"},
		{"restart", "debug"},
		{"bridge", "debug"},
		{"debug", "restart"},
		{"debug", "backend/memory"},
		{"election", "bridge"},
		{"bridge/promquorate", "election"},
		{"bridge/promquorate", "bridge/otelquorate"},
		{"bridge/otelquorate", "internal/bridgetest"},
	} {
		if mayImport(edge[0], edge[1], false) {
			t.Errorf("%s may import %s", edge[0], edge[1])
		}
	}
	for _, edge := range [][2]string{
		{"partition", "membership"},
		{"schedule", "election"},
		{"schedule", "restart"},
		{"backend/etcd", "backend"},
		{"backend/etcd", "backend/driver"},
		{"backend/postgres", "backend/driver"},
		{"integration/overlap", "backend/etcd"},
		{"integration/conformance", "internal/electiontest"},
		{"internal/electiontest", "backend/drivertest"},
		{"election", "internal/trust"},
		{"lock", "internal/office"},
		{"bridge/promquorate", "bridge"},
		{"debug", "partition"},
		{"examples/debugpage", "debug"},
	} {
		if !mayImport(edge[0], edge[1], false) {
			t.Errorf("%s must not import %s", edge[0], edge[1])
		}
	}
}

// TestRootStaysLight asks the go command for all that the root module's
// packages are linked with: the standard library, this module and third,
// hence no adapter and no grpc.
func TestRootStaysLight(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Module", "./...")
	cmd.Dir = top
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	own := 0
	for in := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Standard   bool
			Module     *struct{ Path string }
		}
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch {
		case p.Standard:
		case p.Module == nil:
			t.Errorf("%s is in no module", p.ImportPath)
		case p.Module.Path == root:
			own++
		case !slices.Contains(third, p.Module.Path):
			t.Errorf("the root module is linked with %s of %s", p.ImportPath, p.Module.Path)
		}
	}
	if own < 5 {
		t.Errorf("only %d packages of the root module were listed", own)
	}
}

// TestRootGoMod holds the root's go.mod to what every importer can live with,
// whoever wrote to it last.
func TestRootGoMod(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", "go.mod")
	cmd.Dir = top
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var mod struct {
		Go      string
		Require []struct{ Path string }
		Replace []any
		Tool    []any
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if version.Compare("go"+mod.Go, "go1.25.0") > 0 {
		t.Errorf("go line %s, at most 1.25.0 is wanted", mod.Go)
	}
	for _, r := range mod.Require {
		if !slices.Contains(third, r.Path) {
			t.Errorf("the root's go.mod requires %s", r.Path)
		}
	}
	if len(mod.Replace)+len(mod.Tool) > 0 {
		t.Errorf("the root's go.mod has replace or tool directives: %v %v", mod.Replace, mod.Tool)
	}
}

// files maps each Go file of the tree to the packages of this repository that
// it imports, all relative to the root.
func files(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		switch base := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && name != top && (base[0] == '.' || base[0] == '_' || base == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(base, ".go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		found[rel] = nil
		for _, spec := range file.Imports {
			full, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if full == root {
				found[rel] = append(found[rel], ".")
			} else if own, ok := strings.CutPrefix(full, root+"/"); ok {
				found[rel] = append(found[rel], own)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// mayImport reports whether the package in dir, or its tests, may import the
// package target.
func mayImport(dir, target string, inTest bool) bool {
	rule, ok := ruleOf(dir)
	if !ok {
		return false
	}
	// What lies outside the root module never reaches its importers.
	outside := in(dir, "integration/...") || in(dir, "examples/...") || in(dir, "open/...")
	switch {
	case inAny(target, adapters) && !outside && !sameAdapter(dir, target):
		return false
	case inTest:
		return target == dir || inAny(target, allowed[rule]) || inAny(target, allowedInTests) || inAny(target, alsoInTests[rule])
	case inAny(target, support) && !outside && !inAny(dir, support):
		return false
	default:
		return inAny(target, allowed[rule])
	}
}

// ruleOf returns the key of allowed that is about the package in dir: the
// longest that matches.
func ruleOf(dir string) (string, bool) {
	best, ok := "", false
	for rule := range allowed {
		if in(dir, rule) && len(rule) > len(best) {
			best, ok = rule, true
		}
	}
	return best, ok
}

func sameAdapter(a, b string) bool {
	return slices.ContainsFunc(adapters, func(p string) bool { return in(a, p) && in(b, p) })
}

func inAny(dir string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return in(dir, p) })
}

// in reports whether dir matches pattern, as the go command's patterns do.
func in(dir, pattern string) bool {
	prefix, below := strings.CutSuffix(pattern, "/...")
	return dir == prefix || below && strings.HasPrefix(dir, prefix+"/")
}
