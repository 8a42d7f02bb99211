package drivertest_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
)

// bug is a driver's, and the clauses that must notice it.
type bug struct {
	hooks  func() hooks // for each driver anew
	caught string       // names of clauses
}

func allBugs() map[string]bug {
	all := map[string]bug{}
	for _, bugs := range []map[string]bug{readBugs, commitBugs, refusalBugs, errorBugs, leaseBugs, watchBugs, closeBugs, directoryBugs} {
		maps.Copy(all, bugs)
	}
	return all
}

// TestBugsAreCaught runs the clauses over drivers with a bug: they must fail.
func TestBugsAreCaught(t *testing.T) {
	clauses := map[string]drivertest.Clause{}
	proved := map[string]bool{}
	for _, clause := range drivertest.Clauses() {
		clauses[clause.Name] = clause
		if failures := record(t, clause, func() hooks { return hooks{} }); len(failures) > 0 {
			t.Errorf("%s fails without a bug: %q", clause.Name, failures)
		}
	}
	for name, bug := range allBugs() {
		t.Run(name, func(t *testing.T) {
			for clause := range strings.FieldsSeq(bug.caught) {
				if clauses[clause].Run == nil {
					t.Errorf("no clause %s", clause)
				} else if failures := record(t, clauses[clause], bug.hooks); len(failures) == 0 {
					t.Errorf("not caught by %s", clause)
				} else {
					proved[clause] = true
					t.Logf("%s: %.200q", clause, failures[0])
				}
			}
		})
	}
	// A check that no bug can fail proves nothing.
	for _, name := range slices.Sorted(maps.Keys(clauses)) {
		if !proved[name] {
			t.Errorf("no bug is caught by %s", name)
		}
	}
}
