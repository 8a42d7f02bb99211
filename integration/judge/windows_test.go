package judge

import (
	"slices"
	"testing"
)

// TestWindows holds the checker against histories that are known, of windows of 10
// with two units each.
func TestWindows(t *testing.T) {
	for _, test := range []struct {
		name   string
		grants []Grant
		want   []Excess
	}{
		{name: "none"},
		{name: "as many as there are", grants: []Grant{{1, 2}, {3, 9}, {10, 11}, {19, 19}}},
		{name: "one too many", grants: []Grant{{1, 2}, {12, 13}, {10, 11}, {19, 19}}, want: []Excess{{10, 1}}},
		{name: "two too many, and one later", grants: []Grant{{1, 2}, {3, 4}, {5, 6}, {7, 8}, {50, 51}, {52, 53}, {58, 59}}, want: []Excess{{0, 2}, {50, 1}}},
		{name: "either of two windows", grants: []Grant{{1, 2}, {3, 4}, {9, 10}, {12, 13}}},
		{name: "neither of two windows", grants: []Grant{{1, 2}, {3, 4}, {9, 10}, {12, 13}, {14, 15}}, want: []Excess{{10, 1}}},
		{name: "the soonest first", grants: []Grant{{1, 2}, {3, 12}, {4, 35}, {11, 13}, {12, 14}, {22, 23}}, want: nil},
		{name: "a long call makes no room", grants: []Grant{{1, 2}, {1, 3}, {1, 4}, {0, 90}}, want: []Excess{{0, 1}}},
	} {
		if got := Windows(test.grants, 10, func(int64) int64 { return 2 }); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
