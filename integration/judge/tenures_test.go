package judge

import "testing"

func TestTenures(t *testing.T) {
	a := &Tenure{"x", "a", 1, 10, 20}
	b := &Tenure{"x", "b", 2, 21, 30}
	during := &Tenure{"x", "c", 3, 25, 40}
	elsewhere := &Tenure{"y", "c", 1, 15, 40}
	again := &Tenure{"x", "d", 3, 41, 50}
	for name, test := range map[string]struct {
		tenures             []*Tenure
		since               int64
		overlaps, reversals int
	}{
		"one after the other":          {[]*Tenure{b, a, elsewhere}, 0, 0, 0},
		"two at once":                  {[]*Tenure{a, b, during}, 0, 1, 0},
		"a token again":                {[]*Tenure{a, during, again}, 0, 0, 1},
		"two at once, long ago":        {[]*Tenure{a, b, during}, 45, 0, 0},
		"a token again, and long over": {[]*Tenure{a, b, during, again}, 45, 0, 1},
	} {
		overlaps, reversals := Tenures(test.tenures, test.since)
		if len(overlaps) != test.overlaps || len(reversals) != test.reversals {
			t.Errorf("%s: %v, %v", name, overlaps, reversals)
		}
	}
	if overlaps, _ := Tenures([]*Tenure{b, during}, 0); overlaps[0].For != 5 {
		t.Errorf("%v", overlaps)
	}
}
