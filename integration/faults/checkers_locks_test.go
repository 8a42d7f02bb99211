package faults

import (
	"strings"
	"testing"
)

// TestLockCheckers does so for locks, IDs and quotas.
func TestLockCheckers(t *testing.T) {
	owns := func(what string, token uint64, from, to int64) []string {
		return []string{text(from, valid, what, token, 0, 0), text(to, valid, what, token, 0, 0)}
	}
	takes := func(number, begin, end int64) string { return text(end, locked, "permit", 1, number, begin) }
	resizes := func(number, begin, end int64) []string {
		return []string{text(begin, resizing, shared, 0, number, begin), text(end, resized, shared, 0, number, begin)}
	}
	grants := func(n int, from, to uint64) (lines []string) {
		for range n {
			lines = append(lines, text(5, granted, shared, from, int64(to), 4))
		}
		return lines
	}
	restore := rewind{backup: [2]int64{20, 30}, begin: 60, end: 70, wall: [2]int64{2500, 2600}}
	early := kind{early: 5}
	back := kind{early: 5, back: true}
	draws := func(id uint64, generator, at int64) string { return text(at, drawn, shared, id, generator, at) }
	for _, test := range []checked{
		{name: "a mutex, one after the other", lines: [][]string{owns(mutual, 1, 10, 20), owns(mutual, 2, 21, 30)}},
		{name: "a mutex, two at once", lines: [][]string{owns(mutual, 1, 10, 20), owns(mutual, 2, 18, 30)}, wrong: "was valid"},
		{name: "a mutex, two at once, taken away early", kind: early, lines: [][]string{owns(mutual, 1, 10, 20), owns(mutual, 2, 18, 30)}},
		{name: "a mutex, a token again", lines: [][]string{owns(mutual, 2, 10, 20), owns(mutual, 2, 21, 30)}, wrong: "came after"},
		{name: "a mutex, tokens do not grow again", kind: back, back: &restore, lines: [][]string{owns(mutual, 9, 10, 20), owns(mutual, 2, 71, 75)}, wrong: "is the last after"},
		{name: "two permits at once", lines: [][]string{owns(permit(0), 1, 10, 20), owns(permit(1), 1, 18, 30)}},
		{name: "two holders of a permit", lines: [][]string{owns(permit(1), 1, 10, 20), owns(permit(1), 2, 18, 30)}, wrong: "was valid"},
		{name: "two holders of a node number", lines: [][]string{owns(nodeOf(1), 1, 10, 20), owns(nodeOf(1), 2, 18, 30)}, wrong: "was valid"},
		{name: "a token again after a removal", lines: [][]string{owns(job(1), 3, 10, 20), owns(job(1), 3, 21, 30)}, wrong: "came after"},
		{name: "a removal is lost in a restore", kind: back, back: &restore, lines: [][]string{owns(job(1), 9, 10, 20), owns(job(1), 2, 71, 75)}},

		{name: "the last permit", lines: [][]string{{takes(permits-1, 10, 20)}}},
		{name: "a permit too many", lines: [][]string{{takes(permits, 10, 20)}}, wrong: "there was none"},
		{name: "a permit of before", lines: [][]string{resizes(2, 10, 20), {takes(2, 21, 30)}}, wrong: "there was none"},
		{name: "a permit of before, which was waited for", lines: [][]string{resizes(2, 10, 20), {takes(2, 19, 30)}}},
		{name: "a permit of a resize under way", lines: [][]string{append(resizes(2, 10, 20), resizes(3, 25, 40)[0]), {takes(2, 21, 30)}}},
		{name: "a permit of before, after a restore", kind: back, back: &restore, lines: [][]string{resizes(2, 10, 20), {takes(2, 71, 80)}}},
		{name: "a permit of before, resized after a restore", kind: back, back: &restore, lines: [][]string{resizes(2, 71, 75), {takes(2, 76, 80)}}, wrong: "there was none"},

		{name: "IDs", lines: [][]string{{draws(1, 1, 1), draws(3, 1, 2)}, {draws(2, 1, 3)}}},
		{name: "an ID twice", lines: [][]string{{draws(1, 1, 1), draws(3, 1, 2)}, {draws(3, 1, 3)}}, wrong: "which process 0 has"},
		{name: "an ID twice in a process", lines: [][]string{{draws(3, 1, 1), draws(3, 2, 2)}}, wrong: "which process 0 has"},
		{name: "an ID below", lines: [][]string{{draws(3, 1, 1), draws(2, 1, 2)}}, wrong: "after"},
		{name: "an ID below that of another generator", lines: [][]string{{draws(3, 1, 1), draws(2, 2, 2)}}},

		{name: "all units", lines: [][]string{grants(perWindow/2, 2000, 2001), grants(perWindow/2, 3900, 3999), grants(perWindow, 4000, 4001)}},
		{name: "a unit too many", lines: [][]string{grants(perWindow/2, 2000, 2001), grants(perWindow/2+1, 3900, 3999)}, wrong: "1 units too many"},
		{name: "a unit that counts in the next window", lines: [][]string{grants(perWindow, 2000, 2001), grants(1, 3900, 4000)}},
		{name: "units again after a restore", kind: back, back: &restore, lines: [][]string{grants(2*perWindow, 2000, 2001)}},
		{name: "units twice again after a restore", kind: back, back: &restore, lines: [][]string{grants(2*perWindow+1, 2000, 2001)}, wrong: "1 units too many"},
		{name: "units again long after a restore", kind: back, back: &restore, lines: [][]string{grants(perWindow+1, 4000, 4001)}, wrong: "1 units too many"},
	} {
		test.judge(t)
	}
}

// TestDrawnAgainAfterARestore: only if the store went back between the two.
func TestDrawnAgainAfterARestore(t *testing.T) {
	h := newHistory()
	h.add(0, "a", line{at: 10, kind: drawn, token: 7, begin: 9})
	h.add(0, "a", line{at: 11, kind: drawn, token: 8, begin: 10})
	h.goesBack(rewind{begin: 60})
	h.wentBack(70, 0)
	h.add(1, "b", line{at: 80, kind: drawn, token: 7, begin: 79})
	if len(h.wrong) > 0 {
		t.Errorf("once since: %q", h.wrong)
	}
	h.add(2, "c", line{at: 81, kind: drawn, token: 7, begin: 80})
	if got := strings.Join(h.wrong, "; "); !strings.Contains(got, "which b has") {
		t.Errorf("twice since: %q", got)
	}
}

// TestLocksHaveBeenUsed says when a client is not at work with them.
func TestLocksHaveBeenUsed(t *testing.T) {
	r := &run{h: newHistory(), clients: []*process{{name: "a"}}}
	r.present = r.clients
	back := func(name string) error {
		for _, p := range parts {
			if p.name == name {
				return p.back(r, 10)
			}
		}
		t.Fatalf("there is no part %q", name)
		return nil
	}
	for _, step := range []struct {
		l      line
		during string // the part that this line brings back
	}{
		{line{kind: locked, what: mutual}, ""},
		{line{kind: locked, what: "permit"}, ""},
		{line{kind: locked, what: "job"}, "lock"},
		{line{kind: drawn}, "ids"},
		{line{kind: refused}, ""},
		{line{kind: granted}, "quota"},
	} {
		if step.during != "" && back(step.during) == nil {
			t.Errorf("%s before %+v", step.during, step.l)
		}
		step.l.at, step.l.begin = 20, 19
		r.h.add(0, "a", step.l)
		if step.during == "" {
			continue
		}
		if err := back(step.during); err != nil {
			t.Error(err)
		}
	}
}
