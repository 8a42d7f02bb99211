package model

import "testing"

// shortLimit is more states than any short case has.
const shortLimit = 1_000_000

// TestRules searches the short configurations to their end.
func TestRules(t *testing.T) {
	for _, c := range Cases() {
		if c.Kind != Rule || !c.Short {
			continue
		}
		t.Run(c.Model+"/"+c.Name, func(t *testing.T) {
			r := c.Run(shortLimit)
			t.Logf("%d states: %s", r.States, r.Verdict())
			if !r.Holds() || !r.Live {
				t.Errorf("%s\n%s", r.Verdict(), r.Steps())
			}
		})
	}
}

// TestMutants leaves out one rule after the other: each time the sentence that
// it is for has to break.
func TestMutants(t *testing.T) {
	for _, c := range Cases() {
		if c.Kind != Mutant || !c.Short {
			continue
		}
		t.Run(c.Model+"/"+c.Name, func(t *testing.T) {
			if r := c.Whole(shortLimit); !r.Holds() {
				t.Errorf("with nothing left out: %s\n%s", r.Verdict(), r.Steps())
			}
			r := c.Run(shortLimit)
			t.Logf("left out: %s\n%s\n%s", c.Says, r.Verdict(), r.Steps())
			if !c.OK(r) {
				t.Errorf("got %q, want %q", r.Verdict(), c.Expect)
			}
		})
	}
}

// TestCasesAreWhole holds the table together: each model has a rule, and each
// mutant says what it leaves out and breaks.
func TestCasesAreWhole(t *testing.T) {
	rules, names := make(map[string]int), make(map[string]bool)
	for _, c := range Cases() {
		name := c.Model + "/" + string(c.Kind) + "/" + c.Name
		if names[name] {
			t.Errorf("%s is there twice", name)
		}
		names[name] = true
		if c.Kind == Rule {
			rules[c.Model]++
		} else if c.Says == "" || c.Kind == Mutant && c.Expect == "" {
			t.Errorf("%s does not say what it is for", name)
		}
	}
	for _, c := range Cases() {
		if rules[c.Model] == 0 {
			t.Errorf("%s has no rule", c.Model)
		}
	}
}
