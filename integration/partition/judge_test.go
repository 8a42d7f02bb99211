package partition

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

// tenure is what one process wrote of one ownership of a slot.
type tenure struct {
	member      string // its ID
	process     int    // each has a number of its own
	slot        int
	token       uint64
	first, last int64 // of the lines that are valid, 0 if there is none
	end         int64 // when the body returned, 0 if it did not
	moved       bool  // since another was to have the slot
}

// late is a guarded write after the end of a tenure, applied.
type late struct {
	*tenure
	at int64
}

// history is what all journals say.
type history struct {
	tenures map[string]*tenure
	writes  []late
	fenced  int
	lines   int
	pauses  map[int][][2]int64 // of processes
}

func newHistory() *history {
	return &history{tenures: make(map[string]*tenure), pauses: make(map[int][][2]int64)}
}

// add takes in a line of a process.
func (h *history) add(member string, process int, l line) {
	key := fmt.Sprintf("%d/%d/%d", process, l.slot, l.token)
	t := h.tenures[key]
	if t == nil {
		t = &tenure{member: member, process: process, slot: l.slot, token: l.token}
		h.tenures[key] = t
	}
	h.lines++
	switch l.kind {
	case valid:
		if t.first == 0 {
			t.first = l.at
		}
		t.last = l.at
	case moved, ended:
		t.end, t.moved = l.at, l.kind == moved
	case staleApplied:
		h.writes = append(h.writes, late{t, l.at})
	case staleFenced:
		h.fenced++
	}
}

// paused reports whether the process stood still at some time in a tenure.
func (h *history) paused(t *tenure) bool {
	return slices.ContainsFunc(h.pauses[t.process], func(p [2]int64) bool {
		return p[0] <= t.end && t.first <= p[1]
	})
}

// bySlot returns the tenures of each slot that began, in their order.
func (h *history) bySlot() map[int][]*tenure {
	slots := make(map[int][]*tenure)
	for _, t := range h.tenures {
		if t.first != 0 {
			slots[t.slot] = append(slots[t.slot], t)
		}
	}
	for _, all := range slots {
		slices.SortFunc(all, func(a, b *tenure) int { return cmp.Compare(a.first, b.first) })
	}
	return slots
}

// verdict is what a history amounts to.
type verdict struct {
	lines, tenures, fenced int
	wrong                  []string
	overlap                time.Duration // the longest
	moves                  int           // from one member to another
	gaps                   []time.Duration
	perSlot                []time.Duration // ownerless in all, from its first tenure to its last
}

func (h *history) judge() verdict {
	v := verdict{lines: h.lines, fenced: h.fenced}
	slots := h.bySlot()
	for _, slot := range slots {
		v.tenures += len(slot)
		var ownerless time.Duration
		for i, later := range slot {
			for _, earlier := range slot[:i] {
				h.compare(&v, earlier, later)
			}
			if i == 0 {
				continue
			}
			before := slot[i-1]
			if before.member != later.member {
				v.moves++
			}
			gap := max(time.Duration(later.first-max(before.last, before.end)), 0)
			v.gaps = append(v.gaps, gap)
			ownerless += gap
		}
		v.perSlot = append(v.perSlot, ownerless)
	}
	for _, w := range h.writes {
		for _, other := range slots[w.slot] {
			if other.token > w.token && other.first < w.at {
				v.complain("a write of %v was applied that was sent %v after %v had begun", w.tenure, time.Duration(w.at-other.first), other)
			}
		}
	}
	slices.Sort(v.gaps)
	slices.Sort(v.perSlot)
	return v
}

// compare looks at two tenures of a slot.
func (h *history) compare(v *verdict, earlier, later *tenure) {
	if overlap := time.Duration(earlier.last - later.first); overlap >= 0 {
		v.overlap = max(v.overlap, overlap)
		v.complain("%v was valid %v after %v had begun", earlier, overlap, later)
	}
	if earlier.moved && earlier.end >= later.first && !h.paused(earlier) {
		v.complain("%v had its body return %v after %v had begun", earlier, time.Duration(earlier.end-later.first), later)
	}
	if earlier.token >= later.token {
		v.complain("%v came before %v", earlier, later)
	}
}

func (v *verdict) complain(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

func (t *tenure) String() string {
	return fmt.Sprintf("slot %d, token %d, in process %d of %s,", t.slot, t.token, t.process, t.member)
}

func (v verdict) String() string {
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("%d lines of %d tenures, longest overlap %v, %d moves, %d late writes refused; "+
		"ownerless between two tenures: median %v, max %v; ownerless in all, per slot: median %v, max %v",
		v.lines, v.tenures, v.overlap, v.moves, v.fenced,
		ms(middle(v.gaps)), ms(last(v.gaps)), ms(middle(v.perSlot)), ms(last(v.perSlot)))
}

func middle(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

func last(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)-1]
}

// owners returns who is known to run each slot at a moment: who wrote that he
// does in the second before it, and not that it has ended.
func (h *history) owners(now int64) map[int][]string {
	owners := make(map[int][]string)
	for _, t := range h.tenures {
		if t.end == 0 && t.last > now-int64(time.Second) {
			owners[t.slot] = append(owners[t.slot], t.member)
		}
	}
	return owners
}

// TestJudge holds the judge against histories that are known.
func TestJudge(t *testing.T) {
	type of struct {
		process int
		line
	}
	for _, c := range []struct {
		name    string
		lines   []of
		paused  bool // process 1, throughout
		wrong   int
		overlap time.Duration
		moves   int
	}{
		{name: "one after the other", moves: 1, lines: []of{
			{1, line{10, valid, 0, 1}},
			{1, line{20, valid, 0, 1}},
			{1, line{25, moved, 0, 1}},
			{2, line{30, valid, 0, 2}},
			{2, line{5, valid, 1, 1}},
		}},
		{name: "two at once", moves: 1, wrong: 1, overlap: 15, lines: []of{
			{1, line{10, valid, 0, 1}}, {2, line{15, valid, 0, 2}}, {1, line{30, valid, 0, 1}},
		}},
		{name: "a body returns late", moves: 1, wrong: 1, lines: []of{
			{1, line{10, valid, 0, 1}}, {1, line{25, moved, 0, 1}}, {2, line{15, valid, 0, 2}},
		}},
		{name: "a body returns late, of a process that stood still", moves: 1, paused: true, lines: []of{
			{1, line{10, valid, 0, 1}}, {1, line{25, moved, 0, 1}}, {2, line{15, valid, 0, 2}},
		}},
		{name: "a token again", moves: 1, wrong: 1, lines: []of{
			{1, line{10, valid, 0, 1}}, {2, line{15, valid, 0, 1}},
		}},
		{name: "a late write that is applied", moves: 1, wrong: 1, lines: []of{
			{1, line{10, valid, 0, 1}},
			{1, line{11, ended, 0, 1}},
			{1, line{12, staleApplied, 0, 1}},
			{2, line{15, valid, 0, 2}},
			{1, line{16, staleApplied, 0, 1}},
			{1, line{17, staleFenced, 0, 1}},
		}},
	} {
		h := newHistory()
		if c.paused {
			h.pauses[1] = [][2]int64{{11, 20}}
		}
		for _, l := range c.lines {
			h.add(fmt.Sprint("member ", l.process), l.process, l.line)
		}
		v := h.judge()
		if len(v.wrong) != c.wrong || v.overlap != c.overlap || v.moves != c.moves {
			t.Errorf("%s: %v, wrong: %q", c.name, v, v.wrong)
		}
	}
	h := newHistory()
	h.add("a", 1, line{10, valid, 0, 1})
	h.add("b", 2, line{12, valid, 0, 2})
	h.add("b", 2, line{12, valid, 1, 2})
	h.add("b", 2, line{13, ended, 1, 2})
	if got := fmt.Sprint(h.owners(20)); got != "map[0:[a b]]" && got != "map[0:[b a]]" {
		t.Errorf("owners: %v", got)
	}
}
