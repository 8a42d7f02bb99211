package model

import "testing"

// A walk on the numbers up to 10, by steps of one and, as a fault, of three.
func walk(bad, good uint8) Protocol[uint8] {
	return Protocol[uint8]{
		Next: func(s uint8, took func(Step, uint8)) {
			if s < 10 {
				took(Step{Who: "it", What: "one"}, s+1)
			}
			if s <= 7 {
				took(Step{Who: "it", What: "three", Fault: true}, s+3)
			}
		},
		Broken: func(s uint8) string {
			if s == bad {
				return "bad"
			}
			return ""
		},
		Good: func(s uint8) bool { return s == good },
	}
}

func TestSearchVisitsAll(t *testing.T) {
	r := Search(walk(99, 10), 100)
	if !r.Holds() || !r.Live || r.States != 11 {
		t.Errorf("%+v", r)
	}
	if got := r.Verdict(); got != "holds, complete, live" {
		t.Error(got)
	}
}

func TestSearchFindsTheShortestTrace(t *testing.T) {
	r := Search(walk(7, 10), 100)
	if r.Broken != "bad" || len(r.Trace) != 3 || r.Holds() {
		t.Errorf("%+v", r)
	}
}

func TestSearchFindsWhatIsStuck(t *testing.T) {
	// From 9 on no step leads to 8 any more; 10 comes of 7 by a fault first.
	r := Search(walk(99, 8), 100)
	if r.Broken != Stuck || len(r.Trace) != 3 || r.Holds() {
		t.Errorf("%+v", r)
	}
}

func TestWhatIsCutOffHasNotPassed(t *testing.T) {
	r := Search(walk(99, 10), 3)
	if r.Holds() || r.Live || !r.Cut {
		t.Errorf("%+v", r)
	}
	if got := r.Verdict(); got != "cut off: holds to depth 1, liveness not asked" && got != "cut off: holds to depth 2, liveness not asked" {
		t.Error(got)
	}
	c := Case{Kind: Rule}
	if c.OK(r) {
		t.Error("passes for one that holds")
	}
}
