package counting

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Every add of a history has a delta of its own: unit plus less than spread at
// random, so that a sum of a few says how many they are, and which.
const (
	unit   = int64(1) << 40
	spread = int64(1) << 36
)

func someDelta() int64 { return unit + rand.Int64N(spread) }

// call is one Add as its caller saw it, on one clock.
type call struct {
	process    int
	delta      int64
	begin, end int64
	result     int64
	doubt      bool // ErrIndeterminate: it may have been applied, or be later
	never      bool // any other error: it never is
}

// verdict is what a history comes to.
type verdict struct {
	acknowledged, inDoubt, landed, never int
	lost, doubled, disorder              int
	first                                string // of what is wrong
}

func (v verdict) String() string {
	return fmt.Sprintf("%d acknowledged, %d in doubt of which %d were applied, %d never sent: %d lost, %d doubled, %d out of order",
		v.acknowledged, v.inDoubt, v.landed, v.never, v.lost, v.doubled, v.disorder)
}

func (v *verdict) wrong(counter *int, format string, args ...any) {
	*counter++
	if v.first == "" {
		v.first = fmt.Sprintf(format, args...)
	}
}

// check says whether a history of one counter, from zero to final, is one in
// which every acknowledged add took effect once, at one instant of its call,
// and every add in doubt once at most, after it began and before any later add
// of its process did that was acknowledged. It sorts by result: what lies in
// the gaps between two results must be the sum of adds in doubt.
func check(calls []call, final int64) (v verdict) {
	var acked, doubt []call
	for _, c := range calls {
		switch {
		case c.doubt:
			doubt = append(doubt, c)
			v.inDoubt++
		case c.never:
			v.never++
		default:
			acked = append(acked, c)
			v.acknowledged++
		}
	}
	slices.SortFunc(acked, func(a, b call) int { return cmp.Compare(a.result, b.result) })
	value, latest := int64(0), int64(-1)
	used := make([]bool, len(doubt))
	// step accounts for what lies between value and next: adds that landed
	// before a call that ended at end, the one of number i in the order.
	step := func(next, end int64, i int) {
		if next == value {
			return
		}
		found := decode(doubt, used, next-value, end)
		if found == nil {
			counter := &v.doubled
			if next < value {
				counter = &v.lost
			}
			v.wrong(counter, "%d lies between %d and %d, and no adds in doubt explain it", next-value, value, next)
			return
		}
		for _, d := range found {
			used[d] = true
			v.landed++
			for _, before := range acked[:i] {
				if before.process == doubt[d].process && before.begin > doubt[d].end {
					v.wrong(&v.disorder, "an add in doubt was applied after a later one of its process was acknowledged")
				}
			}
			latest = max(latest, doubt[d].begin)
		}
	}
	for i, c := range acked {
		step(c.result-c.delta, c.end, i)
		if c.end < latest {
			v.wrong(&v.disorder, "the add that returned %d ended before one began that took effect earlier", c.result)
		}
		value, latest = c.result, max(latest, c.begin)
	}
	step(final, int64(1)<<62, len(acked))
	return v
}

// decode finds the adds in doubt, not used yet and begun before end, that sum
// up to gap.
func decode(doubt []call, used []bool, gap, end int64) []int {
	n := int(gap / unit)
	if gap < 0 || n == 0 || n > 16 {
		return nil
	}
	var candidates []int
	for i, d := range doubt {
		if !used[i] && d.begin < end {
			candidates = append(candidates, i)
		}
	}
	// What landed is rather of the last seconds than of before.
	slices.SortFunc(candidates, func(a, b int) int { return cmp.Compare(doubt[b].begin, doubt[a].begin) })
	for _, most := range []int{24, 48, 1 << 20} {
		if found := subset(doubt, candidates[:min(most, len(candidates))], gap, n); found != nil {
			return found
		}
		if most > len(candidates) {
			break
		}
	}
	return nil
}

// subset finds n of the candidates that sum up to sum.
func subset(doubt []call, candidates []int, sum int64, n int) []int {
	if n == 1 {
		for _, i := range candidates {
			if doubt[i].delta == sum {
				return []int{i}
			}
		}
		return nil
	}
	for at, i := range candidates {
		rest := sum - doubt[i].delta
		if rest < int64(n-1)*unit || rest >= int64(n-1)*(unit+spread) {
			continue
		}
		if found := subset(doubt, candidates[at+1:], rest, n-1); found != nil {
			return append(found, i)
		}
	}
	return nil
}

// TestCheck tests the checker: it accepts what is right and finds what is not.
func TestCheck(t *testing.T) {
	a, b, c, d := someDelta(), someDelta(), someDelta(), someDelta()
	ok := func(process int, delta, begin, end, result int64) call {
		return call{process: process, delta: delta, begin: begin, end: end, result: result}
	}
	doubt := func(process int, delta, begin, end int64) call {
		return call{process: process, delta: delta, begin: begin, end: end, doubt: true}
	}
	for name, test := range map[string]struct {
		calls []call
		final int64
		want  verdict
	}{
		"in order":         {[]call{ok(0, a, 1, 2, a), ok(1, b, 3, 4, a+b)}, a + b, verdict{acknowledged: 2}},
		"at the same time": {[]call{ok(0, a, 1, 9, a+b), ok(1, b, 2, 8, b)}, a + b, verdict{acknowledged: 2}},
		"two in doubt": {
			[]call{doubt(0, a, 1, 2), doubt(0, b, 1, 2), doubt(1, c, 1, 2), ok(1, d, 3, 4, a+c+d)},
			a + c + d,
			verdict{acknowledged: 1, inDoubt: 3, landed: 2},
		},
		"in doubt, late": {[]call{doubt(0, a, 1, 2), ok(1, b, 3, 4, b)}, a + b, verdict{acknowledged: 1, inDoubt: 1, landed: 1}},
		"lost":           {[]call{ok(0, a, 1, 2, a), ok(1, b, 3, 4, a+b)}, b, verdict{acknowledged: 2, lost: 1}},
		"overwritten":    {[]call{ok(0, a, 1, 2, a), ok(1, b, 1, 2, b)}, max(a, b), verdict{acknowledged: 2, lost: 1}},
		"doubled":        {[]call{ok(0, a, 1, 2, 2*a)}, 2 * a, verdict{acknowledged: 1, doubled: 1}},
		"doubled later":  {[]call{ok(0, a, 1, 2, a)}, 2 * a, verdict{acknowledged: 1, doubled: 1}},
		"in doubt, twice": {
			[]call{doubt(0, a, 1, 2), ok(1, b, 3, 4, a+b)},
			2*a + b,
			verdict{acknowledged: 1, inDoubt: 1, landed: 1, doubled: 1},
		},
		"never, and yet": {
			[]call{{delta: a, begin: 1, end: 2, never: true}, ok(1, b, 3, 4, a+b)},
			a + b,
			verdict{acknowledged: 1, never: 1, doubled: 1},
		},
		"one result for two": {[]call{ok(0, a, 1, 2, a+b), ok(0, b, 1, 2, a+b)}, a + b, verdict{acknowledged: 2, doubled: 1, lost: 1}},
		"against time":       {[]call{ok(0, a, 1, 2, a+b), ok(1, b, 3, 4, b)}, a + b, verdict{acknowledged: 2, disorder: 1}},
		"before it began":    {[]call{doubt(0, a, 5, 6), ok(1, b, 1, 2, a+b)}, a + b, verdict{acknowledged: 1, inDoubt: 1, doubled: 1}},
		"after the next": {
			[]call{doubt(0, a, 1, 2), ok(0, b, 3, 4, b)},
			a + b,
			verdict{acknowledged: 1, inDoubt: 1, landed: 1, disorder: 1},
		},
	} {
		got := check(test.calls, test.final)
		got.first = ""
		if got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
