package judge

import (
	"cmp"
	"fmt"
	"slices"
)

// Grant is a unit of a quota that was granted at some time from From to To.
type Grant struct{ From, To int64 }

// Excess is a window in which more was granted than there was.
type Excess struct {
	Start, Beyond int64 // Beyond is how many units too many
}

func (e Excess) String() string {
	return fmt.Sprintf("%d units too many were granted in the window that began at %d", e.Beyond, e.Start)
}

// Windows counts grants into windows of a length, in which a call that went on from
// one window to another may count in either: the one way to do so is looked for that
// leaves no window with more than it has. It returns the windows that have more in
// any way, the first of them if a few have together.
func Windows(grants []Grant, length int64, units func(start int64) int64) (all []Excess) {
	window := func(at int64) int64 { return at / length * length }
	rest := slices.SortedFunc(slices.Values(grants), func(a, b Grant) int { return cmp.Compare(a.From, b.From) })
	var open []Grant // begun by the end of the window, and not counted yet
	for start := int64(0); len(rest)+len(open) > 0; start += length {
		if len(open) == 0 {
			start = window(rest[0].From)
		}
		n := 0
		for n < len(rest) && rest[n].From < start+length {
			n++
		}
		open, rest = append(open, rest[:n]...), rest[n:]
		// The calls that were over soonest come first.
		slices.SortFunc(open, func(a, b Grant) int { return cmp.Compare(a.To, b.To) })
		open = open[min(max(int(units(start)), 0), len(open)):]
		late := 0
		for late < len(open) && open[late].To < start+length {
			late++
		}
		if late > 0 {
			all = append(all, Excess{start, int64(late)})
		}
		open = open[late:]
	}
	return all
}
