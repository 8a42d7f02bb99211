// Package pages tests that docs/operations.md says what the code does, and holds all
// pages and the documentation of all packages to the rules for English. It has no
// code of its own.
package pages_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const top = "../.."

// table returns the rows of the first table of docs/operations.md whose header
// is the one given, each cut into its cells.
func table(t *testing.T, header ...string) [][]string {
	t.Helper()
	page, err := os.ReadFile(top + "/docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	inside := false
	for line := range strings.Lines(string(page)) {
		row := cells(line)
		switch {
		case row == nil && inside:
			return rows
		case slices.Equal(row, header):
			inside = true
		case inside && !strings.HasPrefix(row[0], "---"):
			if len(row) != len(header) {
				t.Errorf("the row %q has %d cells, want %d", row[0], len(row), len(header))
				continue
			}
			rows = append(rows, row)
		}
	}
	if !inside {
		t.Fatalf("no table has the header %q", header)
	}
	return rows
}

// cells returns what stands between the bars of a line, nil if it is not of a
// table.
func cells(line string) []string {
	line, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
	if !ok {
		return nil
	}
	line = strings.ReplaceAll(strings.TrimSuffix(line, "|"), `\|`, "\x00")
	row := strings.Split(line, "|")
	for i := range row {
		row[i] = strings.TrimSpace(strings.ReplaceAll(row[i], "\x00", "|"))
	}
	return row
}

var code = regexp.MustCompile("`([^`]+)`")

// codes returns what is set as code in a cell.
func codes(cell string) []string {
	var all []string
	for _, m := range code.FindAllStringSubmatch(cell, -1) {
		all = append(all, m[1])
	}
	return all
}

// only returns the one thing that is set as code in a cell.
func only(t *testing.T, cell string) string {
	t.Helper()
	all := codes(cell)
	if len(all) != 1 {
		t.Fatalf("the cell %q has %d pieces of code, want one", cell, len(all))
	}
	return all[0]
}

func TestCells(t *testing.T) {
	if got := cells("| a | `b \\| c` | |\n"); !slices.Equal(got, []string{"a", "`b | c`", ""}) {
		t.Errorf("cells = %q", got)
	}
	if got := cells("text | more"); got != nil {
		t.Errorf("cells = %q, want none", got)
	}
	if got := codes("`a`, then `b c`."); !slices.Equal(got, []string{"a", "b c"}) {
		t.Errorf("codes = %q", got)
	}
}
