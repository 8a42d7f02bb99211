package faults

import (
	"maps"
	"slices"
	"time"

	"github.com/quorate/quorate/integration/judge"
)

// lockHistory is what the journals say of locks, IDs and quotas, beside tenures.
type lockHistory struct {
	takes    []judge.Take            // of permits of the semaphore
	resizes  []judge.Resize          // acknowledged
	resizing map[string]judge.Resize // by process: under way, or it never returned
	drawn    map[uint64]draw
	grants   []judge.Grant // by the wall clock, in milliseconds
	excesses map[int64]int64
	got      int64          // begin of the last Take that was granted
	units    int            // that were granted in all
	locked   map[string]int // how often locks of a kind were taken in all
}

// draw is an ID that a process drew.
type draw struct {
	by string
	at int64
}

// lockSeen is what one process wrote last of locks, IDs and quotas.
type lockSeen struct {
	locked    map[string]int64 // by kind: when it last took one
	drew      int64            // begin of its last Next
	generator int64
	lastID    uint64 // of that generator
	asked     int64  // begin of its last Take that was answered
}

func newLockHistory() lockHistory {
	return lockHistory{
		resizes:  []judge.Resize{{Permits: permits, Begin: -1, End: -1}},
		resizing: make(map[string]judge.Resize), drawn: make(map[uint64]draw), locked: make(map[string]int), excesses: make(map[int64]int64),
	}
}

// addLock takes in a line about locks, IDs or quotas.
func (h *history) addLock(name string, p *seen, l line) {
	switch l.kind {
	case locked:
		if p.locked == nil {
			p.locked = make(map[string]int64)
		}
		p.locked[l.what] = l.at
		h.locked[l.what]++
		if l.what == "permit" {
			h.takes = append(h.takes, judge.Take{Process: name, Permit: int(l.value), Begin: l.begin, End: l.at})
		}
	case resizing:
		h.resizing[name] = judge.Resize{Permits: int(l.value), Begin: l.begin, End: 1 << 62, Doubt: true}
	case resized:
		h.resizes = append(h.resizes, judge.Resize{Permits: int(l.value), Begin: l.begin, End: l.at})
		delete(h.resizing, name)
	case drawn:
		h.draw(name, p, l)
	case granted:
		h.grants = append(h.grants, judge.Grant{From: int64(l.token), To: l.value})
		p.asked, h.got = l.begin, max(h.got, l.begin)
		h.units++
	case refused:
		p.asked = l.begin
	}
}

// draw takes in an ID: it is nobody else's, and higher than the last of its
// generator. After the store went back a node may start below what was reserved.
func (h *history) draw(name string, p *seen, l line) {
	p.drew = l.begin
	if l.value == p.generator && l.token <= p.lastID {
		h.complain("%s drew ID %d after %d", name, l.token, p.lastID)
	}
	p.generator, p.lastID = l.value, l.token
	if other, taken := h.drawn[l.token]; taken && !h.rewoundBetween(other.at, l.at) {
		h.complain("%s drew ID %d, which %s has", name, l.token, other.by)
	}
	h.drawn[l.token] = draw{name, l.at}
}

// remembered says whether somebody who takes part knows the last token of what is
// owned: of a permit others may have been taken since, and a mutex that is removed
// is used by nobody for long.
func remembered(what string) bool { return class(what) != "locks" || what == mutual }

// judgeLocks is judge of permits and of the quota.
func (h *history) judgeLocks(cut int64) {
	h.judgePermits(cut)
	h.judgeGrants()
}

// judgePermits holds the permits that were taken against how many there were.
func (h *history) judgePermits(cut int64) {
	resizes := slices.AppendSeq(slices.Clone(h.resizes), maps.Values(h.resizing))
	for _, r := range h.rewinds {
		// What was told before may be forgotten, and is not told again.
		resizes = append(resizes, judge.Resize{Permits: permits, Begin: r.begin, End: r.end})
	}
	for _, t := range judge.Permits(h.takes, resizes) {
		h.complain("%s took permit %d between %d and %d, and there was none with that number", t.Process, t.Permit, t.Begin, t.End)
	}
	h.takes = nil
	h.resizes = judge.InForce(h.resizes, cut)
}

// judgeGrants counts what was granted in each window. Where the store went back a
// window may be granted again.
func (h *history) judgeGrants() {
	length := quotaEvery.Milliseconds()
	all := judge.Windows(h.grants, length, func(start int64) int64 {
		again := func(r rewind) bool { return r.wall[0] < start+length && start <= r.wall[1] }
		if slices.ContainsFunc(h.rewinds, again) {
			return 2 * perWindow
		}
		return perWindow
	})
	for _, excess := range all {
		if excess.Beyond > h.excesses[excess.Start] {
			h.excesses[excess.Start] = excess.Beyond
			h.complain("%v", excess)
		}
	}
	// No call takes as long as that.
	old := time.Now().Add(-5 * time.Minute).UnixMilli()
	h.grants = slices.DeleteFunc(h.grants, func(g judge.Grant) bool { return g.To < old })
}
