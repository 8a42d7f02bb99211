package overlap

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/harness"
)

// line is one line of a journal.
type line struct {
	at   int64 // monotonic, nanoseconds
	kind string
	term uint64
	note string
	who  int
}

// reader reads a candidate's journal as it grows, and keeps its lines.
type reader struct {
	harness.JournalReader
	lines []line
}

func (r *reader) all(t testing.TB, who int) []line {
	t.Helper()
	texts, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		l := line{who: who}
		if _, err := fmt.Sscanf(text, "%d %s %d %q", &l.at, &l.kind, &l.term, &l.note); err != nil {
			t.Fatalf("%s: %q: %v", r.Path, text, err)
		}
		r.lines = append(r.lines, l)
	}
	return r.lines
}

// verdict is what the journals of a round say.
type verdict struct {
	beats    int
	tenures  int
	overlap  time.Duration // longest that an earlier tenure's lines go on after the first of a later
	stale    int           // lines said to be valid after the first of a later tenure
	applied  int           // writes of an old term that were applied after a later tenure began
	fenced   int
	lost     int // sessions
	takeover time.Duration
	terms    []uint64
}

// judge merges the journals. Tenures are told apart by candidate and term and
// ordered by their first line. validOnly leaves out lines written while a
// context was alive that was not valid.
func judge(lines []line, validOnly bool) verdict {
	type tenure struct {
		who         int
		term        uint64
		first, last int64
		lines       []line
	}
	var v verdict
	var tenures []*tenure
	slices.SortStableFunc(lines, func(a, b line) int { return int(min(1, max(-1, a.at-b.at))) })
	for _, l := range lines {
		switch {
		case l.kind == "lost":
			v.lost++
			continue
		case l.kind == "stale-fenced":
			v.fenced++
			continue
		case l.kind == "stale-applied":
			if len(tenures) > 0 && tenures[len(tenures)-1].who != l.who {
				v.applied++
			}
			continue
		case l.kind != "valid" && (l.kind != "alive" || validOnly):
			continue
		}
		i := slices.IndexFunc(tenures, func(t *tenure) bool { return t.who == l.who && t.term == l.term })
		if i < 0 {
			i = len(tenures)
			tenures = append(tenures, &tenure{who: l.who, term: l.term, first: l.at})
			v.terms = append(v.terms, l.term)
		}
		t := tenures[i]
		t.last = l.at
		t.lines = append(t.lines, l)
		v.beats++
	}
	v.tenures = len(tenures)
	for i, later := range tenures {
		for _, earlier := range tenures[:i] {
			v.overlap = max(v.overlap, time.Duration(earlier.last-later.first))
			for _, l := range earlier.lines {
				if l.at > later.first && l.kind == "valid" {
					v.stale++
				}
			}
		}
		if i > 0 {
			v.takeover = max(v.takeover, time.Duration(later.first-tenures[i-1].last))
		}
	}
	return v
}

func (v verdict) String() string {
	return fmt.Sprintf("%d lines, terms %v, overlap %v, stale lines %d, old writes fenced %d, applied %d, sessions lost %d, longest without a leader %v",
		v.beats, v.terms, max(v.overlap, 0).Round(time.Microsecond), v.stale, v.fenced, v.applied, v.lost, v.takeover.Round(time.Millisecond))
}

func TestJudge(t *testing.T) {
	ms := int64(time.Millisecond)
	two := []line{
		{at: 1 * ms, kind: "valid", term: 1},
		{at: 5 * ms, kind: "valid", term: 1},
		{at: 9 * ms, kind: "alive", term: 1},
		{at: 4 * ms, kind: "valid", term: 2, who: 1},
		{at: 10 * ms, kind: "stale-applied", term: 1},
	}
	v := judge(slices.Clone(two), false)
	if v.overlap != 5*time.Millisecond || v.stale != 1 || v.applied != 1 || v.tenures != 2 {
		t.Errorf("two at once: %v", v)
	}
	if v := judge(slices.Clone(two), true); v.overlap != time.Millisecond {
		t.Errorf("two at once, valid lines only: %v", v)
	}
	one := []line{{at: 1 * ms, kind: "valid", term: 1}, {at: 2 * ms, kind: "valid", term: 2, who: 1}, {at: 3 * ms, kind: "stale-fenced", term: 1}}
	if v := judge(one, false); v.overlap > 0 || v.stale != 0 || v.fenced != 1 || v.takeover != time.Millisecond {
		t.Errorf("one after the other: %v", v)
	}
}
