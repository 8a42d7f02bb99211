package judge

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Tenure is what one process wrote of one ownership: of an office, of a slot.
type Tenure struct {
	What        string // is owned
	Process     string // that owns it
	Token       uint64
	First, Last int64 // at which it was valid, on one clock
}

func (t *Tenure) String() string {
	return fmt.Sprintf("%s under token %d in %s", t.What, t.Token, t.Process)
}

// Overlap is two tenures of the same thing at once.
type Overlap struct {
	Earlier, Later *Tenure
	For            time.Duration
}

func (o Overlap) String() string {
	return fmt.Sprintf("%v was valid %v after %v had begun", o.Earlier, o.For, o.Later)
}

// Reversal is a tenure whose token is no higher than that of one before it.
type Reversal struct{ Earlier, Later *Tenure }

func (r Reversal) String() string {
	return fmt.Sprintf("%v came after %v", r.Later, r.Earlier)
}

// Tenures finds what there is of both among tenures of any number of things,
// in which a tenure that ended before since is compared with none as early.
func Tenures(tenures []*Tenure, since int64) (overlaps []Overlap, reversals []Reversal) {
	things := make(map[string][]*Tenure)
	for _, t := range tenures {
		things[t.What] = append(things[t.What], t)
	}
	for _, all := range things {
		slices.SortFunc(all, func(a, b *Tenure) int { return cmp.Compare(a.First, b.First) })
		for i, later := range all {
			if later.Last < since {
				continue
			}
			for _, earlier := range all[:i] {
				if by := time.Duration(earlier.Last - later.First); by >= 0 {
					overlaps = append(overlaps, Overlap{earlier, later, by})
				}
				if earlier.Token >= later.Token {
					reversals = append(reversals, Reversal{earlier, later})
				}
			}
		}
	}
	return overlaps, reversals
}
