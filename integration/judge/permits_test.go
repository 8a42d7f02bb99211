package judge

import "testing"

// TestPermits holds the checker against histories that are known: the first permit
// that there is not after Resize(2) is 2.
func TestPermits(t *testing.T) {
	take := func(begin, end int64) Take { return Take{Permit: 2, Begin: begin, End: end} }
	begun := Resize{Permits: 3}
	for _, test := range []struct {
		name    string
		resizes []Resize
		take    Take
		wrong   bool
	}{
		{name: "as at first", resizes: []Resize{begun}, take: take(5, 6)},
		{name: "never enough", resizes: []Resize{{Permits: 2}}, take: take(5, 6), wrong: true},
		{name: "after a smaller number", resizes: []Resize{begun, {2, 2, 3, false}}, take: take(5, 6), wrong: true},
		{name: "beside a smaller number", resizes: []Resize{begun, {2, 2, 5, false}}, take: take(4, 6)},
		{name: "after a smaller number in doubt", resizes: []Resize{begun, {2, 2, 3, true}}, take: take(5, 6)},
		{name: "after a larger number", resizes: []Resize{begun, {2, 2, 3, false}, {3, 4, 5, false}}, take: take(6, 7)},
		{name: "beside a larger number", resizes: []Resize{begun, {2, 2, 3, false}, {3, 6, 9, false}}, take: take(5, 7)},
		{name: "before a larger number", resizes: []Resize{begun, {2, 2, 3, false}, {3, 8, 9, false}}, take: take(5, 7), wrong: true},
		{name: "a larger number in doubt", resizes: []Resize{begun, {2, 2, 3, false}, {3, 4, 5, true}}, take: take(6, 7)},
		{
			name: "a larger number in doubt may follow the next", take: take(9, 10),
			resizes: []Resize{begun, {2, 2, 3, false}, {3, 4, 5, true}, {2, 6, 7, false}},
		},
		{
			name: "a larger number in doubt, and two more", take: take(12, 13), wrong: true,
			resizes: []Resize{begun, {2, 2, 3, false}, {3, 4, 5, true}, {1, 6, 7, false}, {2, 8, 9, false}},
		},
		{
			name: "a larger number in doubt, and the same twice", take: take(12, 13),
			resizes: []Resize{begun, {2, 2, 3, false}, {3, 4, 5, true}, {2, 6, 7, false}, {2, 8, 9, false}},
		},
		{name: "of two at once either may be last", resizes: []Resize{begun, {2, 2, 6, false}, {3, 3, 5, false}}, take: take(7, 8)},
	} {
		if wrong := Permits([]Take{test.take}, test.resizes); (len(wrong) > 0) != test.wrong {
			t.Errorf("%s: %v", test.name, wrong)
		}
	}
}
