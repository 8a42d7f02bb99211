package judge

import "slices"

// Resize is one Resize of a semaphore as its caller saw it, on one clock.
type Resize struct {
	Permits    int
	Begin, End int64
	Doubt      bool // it returned an error: it may have been applied, or be later
}

// Take is one permit that was taken by a call from Begin to End.
type Take struct {
	Process    string
	Permit     int
	Begin, End int64
}

// Permits returns the takes of a permit that there was not at any instant of the
// call, whichever order the resizes had that overlap.
func Permits(takes []Take, resizes []Resize) (wrong []Take) {
	for _, t := range takes {
		allowed := func(r Resize) bool { return r.Begin < t.End && r.Permits > t.Permit }
		if !slices.ContainsFunc(InForce(resizes, t.Begin), allowed) {
			wrong = append(wrong, t)
		}
	}
	return wrong
}

// InForce returns the resizes that may say at an instant, or later, how many
// permits there are. One is over once another was begun after its end and was
// acknowledged. One in doubt is over once two more were, to different numbers: the
// number was written after the first of them, so what was given up is refused.
func InForce(resizes []Resize, at int64) (some []Resize) {
	over, doubtOver := int64(-1), int64(-1)
	for _, second := range resizes {
		if second.Doubt || second.End >= at {
			continue
		}
		over = max(over, second.Begin)
		for _, first := range resizes {
			if !first.Doubt && first.End < second.Begin && first.Permits != second.Permits {
				doubtOver = max(doubtOver, first.Begin)
			}
		}
	}
	for _, r := range resizes {
		if r.Doubt && r.End >= doubtOver || !r.Doubt && r.End >= over {
			some = append(some, r)
		}
	}
	return some
}
