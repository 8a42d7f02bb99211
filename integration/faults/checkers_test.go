package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/judge"
)

// TestCheckers holds the checkers against histories that are known.
func TestCheckers(t *testing.T) {
	early := kind{early: 5}
	back := kind{early: 5, back: true}
	// Deltas are as those of clients: a sum of some says which.
	a, b, c := judge.SomeDelta(), judge.SomeDelta(), judge.SomeDelta()
	add := func(kind string, begin, end, delta, result int64) []string {
		lines := []string{text(begin, adding, shared, 0, delta, begin)}
		if kind != "" {
			lines = append(lines, text(end, kind, shared, uint64(result), delta, begin))
		}
		return lines
	}
	d := judge.SomeDelta()
	during := func(value int64) (lines []string) {
		for i := range int64(20) {
			value += d
			lines = append(lines, add(added, 61+i%5, 66, d, value)...)
		}
		return lines
	}
	owns := func(what string, token uint64, from, to int64) []string {
		return []string{text(from, valid, what, token, 0, 0), text(to, valid, what, token, 0, 0)}
	}
	restore := rewind{backup: [2]int64{20, 30}, begin: 60, end: 70, counts: [2]int64{a, a + b}}
	for _, test := range []checked{
		{name: "one after the other", lines: [][]string{owns(plain, 1, 10, 20), owns(plain, 2, 21, 30)}},
		{name: "two at once", lines: [][]string{owns(plain, 1, 10, 20), owns(plain, 2, 18, 30)}, wrong: "was valid"},
		{name: "two at once, taken away early", kind: early, lines: [][]string{owns(plain, 1, 10, 20), owns(plain, 2, 18, 30)}},
		{name: "two at once for too long", kind: early, lines: [][]string{owns(plain, 1, 10, 24), owns(plain, 2, 18, 30)}, wrong: "was valid"},
		{name: "two at once, strict", kind: early, lines: [][]string{owns(strict, 1, 10, 20), owns(strict, 2, 18, 30)}, wrong: "was valid"},
		{name: "two owners of a slot", lines: [][]string{owns("slot/1", 1, 10, 20), owns("slot/1", 2, 18, 30)}, wrong: "was valid"},
		{name: "a term again", lines: [][]string{owns(plain, 2, 10, 20), owns(plain, 2, 21, 30)}, wrong: "came after"},
		{
			name: "a term again, after a restore", kind: back, back: &restore,
			lines: [][]string{owns(plain, 2, 10, 20), owns(plain, 2, 71, 75), owns(plain, 3, 76, 80)},
		},
		{
			name: "a term again, beside one who has not heard of the restore", kind: back, back: &restore,
			lines: [][]string{owns(plain, 2, 10, 73), owns(plain, 2, 71, 75), owns(plain, 3, 76, 80)},
		},
		{
			name: "a term twice since a restore", kind: back, back: &restore,
			lines: [][]string{owns(plain, 2, 71, 75), owns(plain, 2, 76, 80), owns(plain, 3, 81, 85)}, wrong: "came after",
		},
		{
			name: "a term twice before a restore", kind: back, back: &restore,
			lines: [][]string{owns(plain, 2, 10, 20), owns(plain, 2, 21, 65), owns(plain, 3, 76, 80)}, wrong: "came after",
		},
		{
			name: "terms do not grow again", kind: back, back: &restore,
			lines: [][]string{owns(plain, 9, 10, 20), owns(plain, 2, 71, 75)}, wrong: "is the last after",
		},
		{
			name:  "a late write refused",
			lines: [][]string{append(owns(plain, 1, 10, 20), text(22, staleFenced, plain, 1, 0, 21)), owns(plain, 2, 21, 30)},
		},
		{
			name:  "a late write applied",
			lines: [][]string{append(owns(plain, 1, 10, 20), text(25, staleApplied, plain, 1, 0, 23)), owns(plain, 2, 21, 30)},
			wrong: "a write under token 1",
		},
		{name: "adds", lines: [][]string{add(added, 1, 2, a, a), add(added, 1, 3, b, a+b), add("", 2, 0, c, 0)}},
		{name: "an add in doubt, applied", lines: [][]string{add(addDoubt, 1, 2, a, 0), add(added, 3, 4, b, a+b)}},
		{name: "an add under way, applied", lines: [][]string{add("", 1, 0, a, 0), add(added, 3, 4, b, a+b)}},
		{name: "an add twice", lines: [][]string{add(added, 1, 2, a, a), add(added, 3, 4, b, a+a+b)}, wrong: "the counter"},
		{name: "an add lost", lines: [][]string{add(added, 1, 2, a, a), add(added, 3, 4, b, b)}, wrong: "the counter"},
		{name: "an add that was never sent, applied", lines: [][]string{add(addNever, 1, 2, a, 0), add(added, 3, 4, b, a+b)}, wrong: "the counter"},
		{
			name: "adds since the backup lost", kind: back, back: &restore,
			lines: [][]string{append(add(added, 10, 11, a, a), add(added, 25, 26, b, a+b)...), add(added, 40, 41, c, a+b+c), add(added, 80, 81, c, a+c)},
		},
		{
			name: "an add before the backup lost", kind: back, back: &restore,
			lines: [][]string{add(added, 10, 11, a, a), add(added, 80, 81, c, c)}, wrong: "the counter",
		},
		{
			name: "many adds while the store goes back", kind: back, back: &restore,
			lines: [][]string{append(add(added, 10, 11, a, a), add(added, 25, 26, b, a+b)...), add(added, 40, 41, c, a+b+c), during(a + b), add(added, 80, 81, c, a+b+20*d+c)},
		},
		{
			name: "one of many adds while the store goes back twice", kind: back, back: &restore,
			lines: [][]string{append(add(added, 10, 11, a, a), add(added, 25, 26, b, a+b)...), during(a + b), add(added, 80, 81, c, a+b+21*d+c)}, wrong: "the counter",
		},
		{name: "numbers", lines: [][]string{{text(1, numbered, shared, 1, 0, 1)}, {text(2, numbered, shared, 2, 0, 1)}}},
		{name: "a number twice", lines: [][]string{{text(1, numbered, shared, 1, 0, 1)}, {text(2, numbered, shared, 1, 0, 1)}}, wrong: "which"},
		{name: "a number below", lines: [][]string{{text(1, numbered, shared, 2, 0, 1), text(2, numbered, shared, 1, 0, 1)}}, wrong: "after"},
		{
			name:  "a checkpoint goes on",
			lines: [][]string{{text(1, saving, shared, 1, 7, 1), text(2, saved, shared, 1, 7, 1)}, {text(4, claimed, shared, 2, 7, 3)}},
		},
		{
			name:  "a checkpoint goes back",
			lines: [][]string{{text(1, saving, shared, 1, 7, 1), text(2, saved, shared, 1, 7, 1)}, {text(4, claimed, shared, 2, 6, 3)}},
			wrong: "the checkpoint",
		},
		{
			name:  "a checkpoint goes ahead",
			lines: [][]string{{text(1, saving, shared, 1, 7, 1), text(2, saved, shared, 1, 7, 1)}, {text(4, claimed, shared, 2, 8, 3)}},
			wrong: "the checkpoint",
		},
		{
			name: "a checkpoint goes back to the backup", kind: back, back: &restore,
			lines: [][]string{
				{text(11, saving, shared, 1, 7, 11), text(12, saved, shared, 1, 7, 11), text(41, saving, shared, 1, 8, 41), text(42, saved, shared, 1, 8, 41)},
				{text(81, claimed, shared, 2, 7, 80)},
			},
		},
		{
			name: "a checkpoint goes back behind the backup", kind: back, back: &restore,
			lines: [][]string{
				{text(11, saving, shared, 1, 7, 11), text(12, saved, shared, 1, 7, 11)},
				{text(81, claimed, shared, 2, 6, 80)},
			},
			wrong: "the checkpoint",
		},
	} {
		test.judge(t)
	}
}

// checked is a history of processes, and what is wrong with it: "" if nothing is.
type checked struct {
	name  string
	kind  kind
	lines [][]string // of the processes
	back  *rewind
	wrong string
}

func (test *checked) judge(t *testing.T) {
	t.Helper()
	h := newHistory()
	for n, lines := range test.lines {
		for _, s := range lines {
			l, err := parse(s)
			if err != nil {
				t.Fatal(err)
			}
			h.add(n, fmt.Sprint("process ", n), l)
		}
	}
	if test.back != nil {
		h.goesBack(*test.back)
		h.wentBack(test.back.end, test.back.wall[1])
	}
	h.judge(100, test.kind)
	if got := strings.Join(h.wrong, "; "); (got == "") != (test.wrong == "") || !strings.Contains(got, test.wrong) {
		t.Errorf("%s: %q", test.name, got)
	}
}

// TestNothingEscapesBetweenRounds: what happens while a round is judged is
// judged with the next, and a late write when it is known who had begun by then.
func TestNothingEscapesBetweenRounds(t *testing.T) {
	h := newHistory()
	add := func(process int, l line) { h.add(process, fmt.Sprint("process ", process), l) }
	add(0, line{at: 10, kind: valid, what: plain, token: 1})
	add(0, line{at: 40, kind: saved, value: 7, begin: 39})
	add(0, line{at: 62, kind: staleApplied, what: plain, token: 1, begin: 61}) // read, though it is beyond the cut
	h.judge(50, kind{})
	add(1, line{at: 55, kind: valid, what: plain, token: 2})
	add(1, line{at: 58, kind: claimed, value: 6, begin: 57, token: 2})
	add(0, line{at: 56, kind: valid, what: plain, token: 1})
	h.judge(100, kind{})
	for _, want := range []string{"was valid", "the checkpoint", "a write under token 1"} {
		if got := strings.Join(h.wrong, "; "); !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// TestEachOverlapIsJudgedOnce: by the kind of fault in which it was, and again
// if it grows.
func TestEachOverlapIsJudgedOnce(t *testing.T) {
	h := newHistory()
	add := func(process int, at int64, token uint64) {
		h.add(process, fmt.Sprint("process ", process), line{at: at, kind: valid, what: plain, token: token})
	}
	early := kind{early: 20}
	add(0, 10, 1)
	add(1, 20, 2)
	add(0, 30, 1)
	add(1, 40, 2)
	if longest := h.judge(50, early); longest[plain] != 10 || len(h.wrong) > 0 {
		t.Errorf("at first %v, %q", longest, h.wrong)
	}
	add(1, 60, 2)
	if longest := h.judge(100, kind{}); longest[plain] != 0 || len(h.wrong) > 0 {
		t.Errorf("when only the later went on %v, %q", longest, h.wrong)
	}
	add(0, 110, 1)
	add(1, 110, 2)
	if longest := h.judge(150, kind{}); longest[plain] != 90 || len(h.wrong) == 0 {
		t.Errorf("when both went on %v, %q", longest, h.wrong)
	}
}

// TestWhoReturnsMaySave: where the others may be at work as well, one of them
// may be the one who works through the checkpoint.
func TestWhoReturnsMaySave(t *testing.T) {
	r := &run{h: newHistory(), clients: []*process{{name: "a"}, {name: "b"}}}
	r.present = r.clients[:1]
	r.h.add(1, "b", line{at: 20, kind: saved, begin: 20})
	checkpoint := parts[slices.IndexFunc(parts, func(p part) bool { return p.name == "checkpoint" })]
	if checkpoint.back(r, 10) == nil {
		t.Error("one that must be cut off has saved")
	}
	r.returns = true
	if err := checkpoint.back(r, 10); err != nil {
		t.Error(err)
	}
	if checkpoint.back(r, 30) == nil {
		t.Error("nobody has saved since")
	}
}

// TestTallyChecker does so for the tally.
func TestTallyChecker(t *testing.T) {
	for _, test := range []struct {
		at    int64 // 100 unless it says
		total int64
		ended bool
		back  *rewind
		fine  bool
	}{
		{total: 99},
		{total: 100, fine: true},
		{total: 120, fine: true},
		{total: 121},
		{ended: true, total: 100, fine: true},
		{ended: true, total: 101},
		{at: 75, total: 79},
		{at: 75, total: 80, fine: true},
		{back: &rewind{begin: 50, end: 60, tallies: [2]int64{30, 40}}, total: 49},
		{back: &rewind{begin: 50, end: 60, tallies: [2]int64{30, 40}}, total: 50, fine: true},
		{back: &rewind{begin: 50, end: 60, tallies: [2]int64{30, 40}}, total: 110, fine: true},
		{back: &rewind{begin: 50, end: 60, tallies: [2]int64{30, 40}}, total: 111},
	} {
		h := newHistory()
		for _, l := range []line{
			{at: 40, kind: flushed, value: 50, begin: 39},
			{at: 71, kind: flushed, value: 80, begin: 70},
			{at: 81, kind: flushed, value: 100, begin: 80},
			{at: 81, kind: given, value: 100},
		} {
			h.add(0, "p", l)
		}
		if test.ended {
			h.add(0, "p", line{at: 82, kind: ended})
		}
		if test.back != nil {
			h.goesBack(*test.back)
			h.wentBack(test.back.end, test.back.wall[1])
		}
		h.judgeTally(cmp.Or(test.at, 100), test.total)
		if (len(h.wrong) == 0) != test.fine {
			t.Errorf("%d, %+v: %q", test.total, test.back, h.wrong)
		}
	}
}

// TestKindsAreNamedOnce, and each is in the table of what it may do.
func TestKindsAreNamedOnce(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range kinds {
		if seen[k.name] || k.inject == nil || k.early > reconnection || k.back && k.early == 0 {
			t.Errorf("%+v", k)
		}
		seen[k.name] = true
	}
	if got := (kind{early: time.Second}).overlap(strict); got != 0 {
		t.Errorf("strict, %v", got)
	}
}

// Catches: a write that was answered in the moment in which its server was
// paused, taken for the store's first while the fault lasts: all was held to be
// late by as long as the store took to find another leader.
// Catches: a store that stopped again, for which its clients are blamed; and one
// that was only slow, which excuses nothing.
func TestProbeTellsAStoreThatIsAwayAgain(t *testing.T) {
	p := &probe{writes: [][]write{{{at: 100}, {at: 150}, {at: 900}, {at: 1400}, {at: 2000}}}, failures: []int64{90, 600, 850, 1950}}
	for to, want := range map[int64]time.Duration{140: 0, 700: 550, 1000: 750, 1500: 750, 1900: 750, 2100: 1350} {
		if got := p.again(100, to); got != want {
			t.Errorf("away between 100 and %d: %d, want %d", to, got, want)
		}
	}
}

func TestProbeHeedsWhatBeganAfterwards(t *testing.T) {
	p := &probe{writes: [][]write{{{began: 90, at: 110}, {began: 300, at: 320}}}}
	if at, err := p.anew(t.Context(), 100); err != nil || at != 320 {
		t.Errorf("anew(100) = %d, %v, want 320", at, err)
	}
	if at, err := p.after(t.Context(), 100); err != nil || at != 110 {
		t.Errorf("after(100) = %d, %v, want 110", at, err)
	}
}
