package simulation

import (
	"maps"
	"slices"
	"time"
)

// span is one time that something was owned, as its owner saw it: a tenure, or
// a body of a slot.
type span struct {
	by         string // whose: a process and what tells its ownerships apart
	process    *process
	token      uint64
	start, end time.Time // end is zero while it lasts
}

// owned is what has one owner at a time: an office, or a slot.
type owned struct {
	what  string
	spans []*span // as they began
	fence fence
}

func (o *owned) begin(p *process, by string, token uint64) *span {
	sp := &span{by: by, process: p, token: token, start: time.Now()}
	o.spans = append(o.spans, sp)
	return sp
}

// running returns who owns it now.
func (o *owned) running() (now []*span) {
	for _, sp := range o.spans {
		if sp.end.IsZero() {
			now = append(now, sp)
		}
	}
	return now
}

// checkOverlap holds that no two owned it at a time for longer than allowed.
func (o *owned) checkOverlap(s *simulation, allowed time.Duration) {
	for i, b := range o.spans {
		for _, a := range o.spans[:i] {
			end := b.end
			if a.end.Before(end) {
				end = a.end
			}
			if overlap := end.Sub(b.start); overlap > allowed {
				s.t.Errorf("%s: token %d of %s and token %d of %s overlap by %v, allowed is %v", o.what, a.token, a.by, b.token, b.by, overlap, allowed)
			} else {
				s.overlap = max(s.overlap, overlap)
			}
		}
	}
}

// checkTokens holds that tokens grow from one owner to the next. An ownership that
// was begun again has the same token. Two owners that overlap, for as long as
// checkOverlap allows, may have begun in either order: where a store gives a role
// away early, the reply to the first may come after the second has begun.
func (o *owned) checkTokens(s *simulation) {
	for i, b := range o.spans {
		for _, a := range o.spans[:i] {
			if b.token < a.token && !a.end.After(b.start) || b.token == a.token && a.by != b.by {
				s.t.Errorf("%s: token %d of %s came after token %d of %s", o.what, b.token, b.by, a.token, a.by)
			}
		}
	}
}

// fence holds guarded writes to their order: once a later owner has written, no
// earlier one does.
type fence struct {
	last string
	gone map[string]bool
}

// wrote notes a write and reports whether it may be.
func (f *fence) wrote(by string) bool {
	if f.last != by {
		if f.gone == nil {
			f.gone = make(map[string]bool)
		}
		f.gone[f.last] = true
		f.last = by
	}
	return !f.gone[by]
}

// copied is for a backup: a restore brings the guards of then back.
func (f fence) copied() fence { return fence{last: f.last, gone: maps.Clone(f.gone)} }

// who lists owners, for a message.
func who(spans []*span) (ids []string) {
	for _, sp := range spans {
		ids = append(ids, sp.by)
	}
	slices.Sort(ids)
	return ids
}
