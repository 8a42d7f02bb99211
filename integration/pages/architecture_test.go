package pages_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const architecture = "docs/architecture.md"

// TestArchitectureNamesWhatIsThere: the tests that the page names are in the
// package that it says.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(top, architecture))
	if err != nil {
		t.Fatal(err)
	}
	tests := 0
	for n, paragraph := range strings.Split(rows(string(page)), "\n\n") {
		all, err := named(paragraph)
		if err != nil {
			t.Errorf("%s, paragraph %d: %v", architecture, n, err)
		}
		for _, test := range all {
			tests++
			if err := test.there(); err != nil {
				t.Errorf("%s: %v", architecture, err)
			}
		}
	}
	if tests < 60 {
		t.Errorf("only %d tests found: does this test still read the page?", tests)
	}
}

// TestEveryRuleHasItsTest: no row of the two tables is without code and a test.
func TestEveryRuleHasItsTest(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(top, architecture))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(page)) {
		row := cellsOf(line)
		if len(row) != 3 || strings.HasPrefix(row[0], "---") || row[2] == "Which test proves it" {
			continue
		}
		count++
		if all, err := named(row[2]); err != nil || len(all) == 0 {
			t.Errorf("%q: %d tests, %v", row[0], len(all), err)
		}
		if row[1] == "" {
			t.Errorf("%q: nothing carries it", row[0])
		}
	}
	if count != 11+5 {
		t.Errorf("%d rows, want the 11 rules and the 5 failures", count)
	}
}

// rows makes each row of a table, and each line of a list of them, a paragraph
// of its own, since a package that is named holds to the end of that only.
func rows(page string) string { return strings.ReplaceAll(page, "\n|", "\n\n|") }

var (
	word     = regexp.MustCompile("`([a-z][a-z/]*)`|\\b(Test[A-Z]\\w*)|(?:^|[\\s(])((?:election|counter|membership|partition|checkpoint)/[a-z0-9-]+)")
	suiteDir = "internal/%stest"
)

// aTest is a test that a page names: a function of a package, or a scenario.
type aTest struct{ dir, function, scenario string }

// named returns the tests that a text names: functions after the directory of
// their package, set as code, and scenarios as suite/name.
func named(text string) (all []aTest, err error) {
	dir := ""
	for _, m := range word.FindAllStringSubmatch(text, -1) {
		switch suite, scenario, _ := strings.Cut(m[3], "/"); {
		case m[1] != "":
			dir = m[1]
		case m[2] != "" && dir == "":
			return nil, fmt.Errorf("%s is named without its package", m[2])
		case m[2] != "":
			all = append(all, aTest{dir: dir, function: m[2]})
		default:
			all = append(all, aTest{dir: fmt.Sprintf(suiteDir, suite), scenario: scenario})
		}
	}
	return all, nil
}

// there returns nil if the test exists.
func (a aTest) there() error {
	pattern := "*_test.go"
	if a.scenario != "" {
		pattern = "suite.go"
	}
	var names []string
	for _, below := range []string{"", "*"} { // a suite has a package for each store
		some, err := filepath.Glob(filepath.Join(top, filepath.FromSlash(a.dir), below, pattern))
		if err != nil {
			return err
		}
		names = append(names, some...)
	}
	found := false
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				found = found || a.function != "" && n.Recv == nil && n.Name.Name == a.function
			case *ast.BasicLit:
				s, err := strconv.Unquote(n.Value)
				found = found || n.Kind == token.STRING && err == nil && a.scenario != "" && s == a.scenario
			}
			return true
		})
	}
	if !found {
		return fmt.Errorf("no test %s in %s", a.function+a.scenario, a.dir)
	}
	return nil
}

// TestNamed tests the test.
func TestNamed(t *testing.T) {
	all, err := named("x `backend/memory` and `election` TestA, TestB-c; (election/some-thing) and partition/other, `election/no` ")
	want := []aTest{
		{dir: "election", function: "TestA"},
		{dir: "election", function: "TestB"},
		{dir: "internal/electiontest", scenario: "some-thing"},
		{dir: "internal/partitiontest", scenario: "other"},
	}
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := named("TestA"); err == nil {
		t.Errorf("%+v without a package", all)
	}
	for _, bad := range []aTest{
		{dir: "election", function: "TestNoSuch"},
		{dir: "no/such", function: "TestSimulation"},
		{dir: "internal/electiontest", scenario: "no-such"},
		{dir: path.Join("internal", "edges"), function: "TestSimulation"},
	} {
		if err := bad.there(); err == nil {
			t.Errorf("%+v is there", bad)
		}
	}
}
