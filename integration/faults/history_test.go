package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/integration/judge"
)

// history is what all journals say, of all processes that there ever were.
type history struct {
	tenures   map[string]*judge.Tenure
	overlaps  map[[2]*judge.Tenure]time.Duration // that were judged
	fresh     map[string]int64                   // when what is owned was last seen to be valid
	lates     []late
	fenced    int
	calls     []*judge.Call // adds, as they began
	open      map[string]*judge.Call
	numbers   map[uint64]string // by whom they were taken
	highest   uint64            // of them
	exempt    uint64            // up to here numbers may be issued again, since the store went back
	progress  []step
	processes map[string]*seen
	rewinds   []rewind
	judged    int64 // up to when
	wrong     []string
	lockHistory
}

// late is a write under the guard of a tenure that is over, applied.
type late struct {
	what  string
	token uint64
	begin int64
}

// step is what became of the checkpoint.
type step struct {
	kind      string
	begin, at int64
	value     int64
	term      uint64
}

// seen is what one process wrote last.
type seen struct {
	add, flush, number, save int64 // begin of the last call that was acknowledged
	lastNumber               uint64
	view                     string // of the members, "" while it is stale
	crowd                    int
	served                   int64 // since when each of the crowd has been answered
	flushes                  []flush
	given                    flush
	ended                    bool // in order: given is all
	lockSeen
}

// flush is how much of a tally was known to be counted, or given, at a time.
type flush struct{ begin, at, value int64 }

// rewind is a wipe of the store, or a restore to a backup.
type rewind struct {
	backup     [2]int64 // the backup was taken between
	begin, end int64
	counts     [2]int64 // the counter before and after that
	tallies    [2]int64 // the tally
	wall       [2]int64 // begin and end by the wall clock, in milliseconds
}

func newHistory() *history {
	return &history{
		tenures: make(map[string]*judge.Tenure), overlaps: make(map[[2]*judge.Tenure]time.Duration), fresh: make(map[string]int64),
		open: make(map[string]*judge.Call), numbers: make(map[uint64]string), processes: make(map[string]*seen),
		lockHistory: newLockHistory(),
	}
}

func (h *history) complain(format string, args ...any) {
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}

// add takes in a line of a process, which has a number and a name.
func (h *history) add(number int, name string, l line) {
	p := h.processes[name]
	if p == nil {
		p = new(seen)
		h.processes[name] = p
	}
	switch l.kind {
	case valid:
		key := fmt.Sprintf("%s %d %s %d", l.what, l.token, name, l.value)
		t := h.tenures[key]
		if t == nil {
			t = &judge.Tenure{What: l.what, Process: name, Token: l.token, First: l.at}
			h.tenures[key] = t
		}
		t.Last = l.at
		h.fresh[l.what] = max(h.fresh[l.what], l.at)
	case staleApplied:
		h.lates = append(h.lates, late{l.what, l.token, l.begin})
	case staleFenced:
		h.fenced++
	case adding:
		c := &judge.Call{Process: number, Delta: l.value, Begin: l.begin, End: 1 << 62, Doubt: true}
		h.calls = append(h.calls, c)
		h.open[fmt.Sprintf("%d %d", number, l.begin)] = c
	case added, addDoubt, addNever:
		key := fmt.Sprintf("%d %d", number, l.begin)
		c := h.open[key]
		delete(h.open, key)
		c.End, c.Result, c.Doubt, c.Never = l.at, int64(l.token), l.kind == addDoubt, l.kind == addNever
		if l.kind == added {
			p.add = l.begin
		}
	case flushed:
		p.flush = l.begin
		p.flushes = append(p.flushes, flush{l.begin, l.at, l.value})
	case given:
		p.given = flush{l.begin, l.at, l.value}
	case ended:
		p.ended = true
	case numbered:
		h.number(name, p, l)
	case view:
		if p.view = l.what; l.token != 0 {
			p.view = ""
		}
	case claimed, saving, saved:
		h.progress = append(h.progress, step{l.kind, l.begin, l.at, l.value, l.token})
		if l.kind == saved {
			p.save = l.begin
		}
	case crowd:
		p.crowd, p.served = int(l.token), l.begin
	default:
		h.addLock(name, p, l)
	}
}

// number takes in a number of the sequence: it is nobody else's, and greater
// than the last of its process.
func (h *history) number(name string, p *seen, l line) {
	p.number = l.begin
	if l.token <= p.lastNumber {
		h.complain("%s got number %d after %d", name, l.token, p.lastNumber)
	}
	p.lastNumber = l.token
	if other, taken := h.numbers[l.token]; taken && l.token > h.exempt {
		h.complain("%s got number %d, which %s has", name, l.token, other)
	}
	h.numbers[l.token] = name
	h.highest = max(h.highest, l.token)
}

// goesBack takes in that the store is going back. All journals have been read.
func (h *history) goesBack(r rewind) {
	r.end, r.wall[1] = 1<<62, 1<<62
	h.rewinds = append(h.rewinds, r)
	// What is reserved and not handed out yet: two blocks at most in each process.
	h.exempt = max(h.exempt, h.highest+2*maxBlock*uint64(len(h.processes)))
}

// wentBack takes in that it has, and when by the wall clock.
func (h *history) wentBack(end, wall int64) {
	r := &h.rewinds[len(h.rewinds)-1]
	r.end, r.wall[1] = end, wall
}

// judge says what is wrong since it did so last, up to cut, before which all
// journals are complete. What the kind of fault in between allows is no fault of
// the library.
func (h *history) judge(cut int64, k kind) (longest map[string]int64) {
	longest = h.judgeTenures(h.judged, cut, k)
	h.judgeProgress(h.judged, cut)
	h.judgeAdds(cut, nil)
	h.judgeLocks(cut)
	h.judged = cut
	return longest
}

func (h *history) judgeTenures(since, cut int64, k kind) (longest map[string]int64) {
	longest = make(map[string]int64)
	var all []*judge.Tenure
	for _, t := range h.tenures {
		all = append(all, t)
	}
	overlaps, reversals := judge.Tenures(all, since)
	for _, o := range overlaps {
		// One that was judged and did not grow is none of this kind's, though the later goes on.
		pair := [2]*judge.Tenure{o.Earlier, o.Later}
		if before, judged := h.overlaps[pair]; judged && o.For <= before {
			continue
		}
		h.overlaps[pair] = o.For
		longest[class(o.Later.What)] = max(longest[class(o.Later.What)], int64(o.For))
		if o.For > k.overlap(o.Later.What) {
			h.complain("%v, %v before the judgement", o, time.Duration(cut-o.Later.First))
		}
	}
	for _, r := range reversals {
		// The earlier may trust itself for a while after the store went back.
		if !h.rewoundBetween(r.Earlier.First, r.Later.First) {
			h.complain("%v", r)
		}
	}
	lates := h.lates
	h.lates = nil
	for _, l := range lates {
		if l.begin >= cut {
			h.lates = append(h.lates, l) // who had begun by then may not be known yet
			continue
		}
		for _, t := range all {
			if t.What == l.what && t.Token > l.token && t.First < l.begin && !h.rewoundBetween(t.First, l.begin) {
				h.complain("a write under token %d of %s was applied after %v had begun", l.token, l.what, t)
			}
		}
	}
	// After the store went back tokens grow again.
	if n := len(h.rewinds); n > 0 && h.rewinds[n-1].begin > since {
		last := make(map[string]*judge.Tenure)
		highest := make(map[string]uint64)
		for _, t := range all {
			highest[t.What] = max(highest[t.What], t.Token)
			if last[t.What] == nil || t.First > last[t.What].First {
				last[t.What] = t
			}
		}
		for what, t := range last {
			if remembered(what) && t.Token < highest[what] {
				h.complain("%v is the last after the store went back, and token %d was there before", t, highest[what])
			}
		}
	}
	return longest
}

// class folds the slots into one, and the locks.
func class(what string) string {
	switch {
	case what == plain || what == strict:
		return what
	case strings.HasPrefix(what, "slot/"):
		return "slots"
	}
	return "locks"
}

// rewoundBetween reports whether the store went back between two moments.
func (h *history) rewoundBetween(a, b int64) bool {
	return slices.ContainsFunc(h.rewinds, func(r rewind) bool { return a < r.end && r.begin < b })
}

// judgeProgress holds each claim against the saves before it.
func (h *history) judgeProgress(since, cut int64) {
	for _, c := range h.progress {
		if c.kind != claimed || c.at < since || c.at >= cut {
			continue
		}
		low, high := h.progressBetween(c.begin, c.at)
		if c.value < low || c.value > high {
			h.complain("the checkpoint was claimed at %d under term %d, between %d and %d were saved", c.value, c.term, low, high)
		}
	}
}

// progressBetween returns the bounds of what a claim from begin to end may
// return: what was last acknowledged before it, and the most that anybody
// tried to save.
func (h *history) progressBetween(begin, end int64) (low, high int64) {
	for _, s := range h.progress {
		if s.kind == saving && s.begin < end {
			high = max(high, s.value)
		}
		if s.kind != saved || s.at > begin {
			continue
		}
		if slices.ContainsFunc(h.rewinds, func(r rewind) bool { return s.at > r.backup[0] && s.at < r.end && r.begin < end }) {
			continue // went back with the store
		}
		low = max(low, s.value)
	}
	if slices.ContainsFunc(h.rewinds, func(r rewind) bool { return begin < r.end && r.begin < end }) {
		low = 0
	}
	return low, high
}

// judgeAdds holds the adds since the store last went back against each other,
// and against the final value, if it is known.
func (h *history) judgeAdds(cut int64, final *int64) {
	var r rewind
	bases := []int64{0}
	if n := len(h.rewinds); n > 0 {
		r = h.rewinds[n-1]
		bases = h.bases(r)
	}
	var calls, either []judge.Call // either: of before, or since
	most := int64(0)
	for _, p := range h.calls {
		c := *p
		switch {
		case c.End > cut:
			c.Doubt, c.Never, c.Result, c.End = true, false, 0, 1<<62
		case c.End < r.begin && !c.Doubt:
			continue // of before
		case c.Begin < r.end && !c.Doubt && !c.Never:
			either = append(either, c)
			continue
		}
		if !c.Doubt && !c.Never {
			most = max(most, c.Result)
		}
		calls = append(calls, c)
	}
	var sum judge.Sum
	for _, base := range bases {
		all, last := since(either, base)
		all = append(all, calls...)
		end := max(most, last)
		if final != nil {
			end = *final
		}
		if sum = judge.Adds(all, base, end); !sum.Wrong() {
			return
		}
	}
	h.complain("the counter, from one of %d: %v; %s", bases, sum, sum.First)
}

// since decides of adds that were acknowledged around the time at which the
// store went back which of them were since: those that follow from what the
// backup had, one upon the other, the last of which made it last. Of the rest it
// is not known.
func since(either []judge.Call, base int64) (calls []judge.Call, last int64) {
	for _, c := range either {
		c.Doubt = true
		calls = append(calls, c)
	}
	for {
		next := slices.IndexFunc(calls, func(c judge.Call) bool { return c.Doubt && c.Result == base+c.Delta })
		if next < 0 {
			return calls, base
		}
		calls[next].Doubt = false
		base = calls[next].Result
	}
}

// bases returns what the counter may have been in the backup: what it was
// before, or what an add made it while the backup was taken.
func (h *history) bases(r rewind) []int64 {
	bases := []int64{r.counts[0]}
	for _, c := range h.calls {
		if !c.Doubt && !c.Never && c.Result > r.counts[0] && c.Result <= r.counts[1] && c.End < r.begin {
			bases = append(bases, c.Result)
		}
	}
	return bases
}

// judgeTally holds a total, read from a moment on, against what each has flushed
// by then, and given.
func (h *history) judgeTally(began, total int64) {
	var r rewind
	if n := len(h.rewinds); n > 0 {
		r = h.rewinds[n-1]
	}
	low, high := r.tallies[0], r.tallies[1]
	for _, p := range h.processes {
		if p.given.at == 0 {
			continue
		}
		before, after := int64(0), int64(-1) // known to be counted before the store went back, and since
		last := flush{}
		for _, f := range p.flushes {
			if f.at > began {
				break
			}
			if f.at < r.begin {
				before = f.value
			}
			if f.begin >= r.end && after < 0 {
				after = f.value
			}
			last = f
		}
		if r.end == 0 {
			after = 0
		}
		if after >= 0 {
			low += max(last.value-after, 0)
		}
		high += p.given.value - before
		if !p.ended {
			high += givenEvery // what was given since it last said so
		}
	}
	if total < low || total > high {
		h.complain("the tally is %d; at least %d, at most %d was given", total, low, high)
	}
}
