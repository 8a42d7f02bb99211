// Package judge tells, from what processes wrote down on one clock, whether the
// guarantees were kept. It knows nothing of the library.
package judge

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Every add of a history has a delta of its own: unit plus less than spread at
// random, so that a sum of a few says how many they are, and which.
const (
	unit   = int64(1) << 40
	spread = int64(1) << 36
)

// SomeDelta draws a delta that is unlike any other.
func SomeDelta() int64 { return unit + rand.Int64N(spread) }

// Call is one Add as its caller saw it, on one clock.
type Call struct {
	Process    int
	Delta      int64
	Begin, End int64
	Result     int64
	Doubt      bool // ErrIndeterminate: it may have been applied, or be later
	Never      bool // any other error: it never is
}

// Sum is what a history of adds comes to.
type Sum struct {
	Acknowledged, InDoubt, Landed, Never int
	Lost, Doubled, Disorder              int
	First                                string // of what is wrong
}

// Wrong reports whether anything is.
func (v Sum) Wrong() bool { return v.Lost+v.Doubled+v.Disorder > 0 }

func (v Sum) String() string {
	return fmt.Sprintf("%d acknowledged, %d in doubt of which %d were applied, %d never sent: %d lost, %d doubled, %d out of order",
		v.Acknowledged, v.InDoubt, v.Landed, v.Never, v.Lost, v.Doubled, v.Disorder)
}

func (v *Sum) wrong(counter *int, format string, args ...any) {
	*counter++
	if v.First == "" {
		v.First = fmt.Sprintf(format, args...)
	}
}

// Adds says whether a history of one counter, from base to final, is one in
// which every acknowledged add took effect once, at one instant of its call,
// and every add in doubt once at most, after it began and before any later add
// of its process did that was acknowledged. It sorts by result: what lies in
// the gaps between two results must be the sum of adds in doubt.
func Adds(calls []Call, base, final int64) (v Sum) {
	var acked, doubt []Call
	for _, c := range calls {
		switch {
		case c.Doubt:
			doubt = append(doubt, c)
			v.InDoubt++
		case c.Never:
			v.Never++
		default:
			acked = append(acked, c)
			v.Acknowledged++
		}
	}
	slices.SortFunc(acked, func(a, b Call) int { return cmp.Compare(a.Result, b.Result) })
	value, latest := base, int64(-1)
	used := make([]bool, len(doubt))
	// step accounts for what lies between value and next: adds that landed
	// before a call that ended at end, the one of number i in the order.
	step := func(next, end int64, i int) {
		if next == value {
			return
		}
		found := decode(doubt, used, next-value, end)
		if found == nil {
			counter := &v.Doubled
			if next < value {
				counter = &v.Lost
			}
			v.wrong(counter, "%d lies between %d and %d, and no adds in doubt explain it", next-value, value, next)
			return
		}
		for _, d := range found {
			used[d] = true
			v.Landed++
			for _, before := range acked[:i] {
				if before.Process == doubt[d].Process && before.Begin > doubt[d].End {
					v.wrong(&v.Disorder, "an add in doubt was applied after a later one of its process was acknowledged")
				}
			}
			latest = max(latest, doubt[d].Begin)
		}
	}
	for i, c := range acked {
		step(c.Result-c.Delta, c.End, i)
		if c.End < latest {
			v.wrong(&v.Disorder, "the add that returned %d ended before one began that took effect earlier", c.Result)
		}
		value, latest = c.Result, max(latest, c.Begin)
	}
	step(final, int64(1)<<62, len(acked))
	return v
}

// decode finds the adds in doubt, not used yet and begun before end, that sum
// up to gap.
func decode(doubt []Call, used []bool, gap, end int64) []int {
	n := int(gap / unit)
	if gap <= 0 || n == 0 || n >= len(recent) {
		return nil
	}
	var candidates []int
	for i, d := range doubt {
		if !used[i] && d.Begin < end {
			candidates = append(candidates, i)
		}
	}
	// What landed is rather of the last seconds than of before.
	slices.SortFunc(candidates, func(a, b int) int { return cmp.Compare(doubt[b].Begin, doubt[a].Begin) })
	candidates = candidates[:min(recent[n], len(candidates))]
	// The two halves of a set meet in the middle.
	half := sums(doubt, candidates, n/2)
	var found []int
	for sum, sets := range sums(doubt, candidates, n-n/2) {
		for _, other := range half[gap-sum] {
			for _, set := range sets {
				if both := union(set, other); found == nil && len(both) == n {
					found = both
				}
			}
		}
	}
	return found
}

// recent is among how many of the last adds in doubt a set of each size is
// looked for. More than so many landing together is not explained.
var recent = [...]int{0, 100_000, 2_000, 400, 400, 80, 80, 40, 40, 24, 24}

// sums returns the sets of n of the candidates, by what they sum up to.
func sums(doubt []Call, candidates []int, n int) map[int64][][]int {
	all := make(map[int64][][]int)
	var extend func(set []int, from int, sum int64)
	extend = func(set []int, from int, sum int64) {
		if len(set) == n {
			all[sum] = append(all[sum], slices.Clone(set))
			return
		}
		for at := from; at < len(candidates); at++ {
			i := candidates[at]
			extend(append(set, i), at+1, sum+doubt[i].Delta)
		}
	}
	extend(nil, 0, 0)
	return all
}

// union returns the elements of two sets, each once.
func union(a, b []int) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
