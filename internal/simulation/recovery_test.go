package simulation

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
)

var noFaults faults.Rates

// How long things take from the last fault on. First what was sent has to land,
// and leases that are kept too long to end: each may undo what had settled.
const (
	disturbed = maxLate
	// callsWithin is for calls that need no session, from the last fault on:
	// those under way run into their timeouts, and what is tried again pauses.
	callsWithin = 12 * time.Second
	// ledWithin is from when nothing disturbs any more: an office whose holder
	// is gone, and the one that was next.
	ledWithin = late + ttl + 2*time.Second
	// strictly is what Strict adds: a TTL after each of them.
	strictly = 3 * ttl
	// runWithin is a session that ends, and a change that settles.
	runWithin = 2*ttl + 2*time.Second
	// seenWithin is for the views: what has vanished is held for two TTLs.
	seenWithin = 5 * ttl
)

// living returns the processes that are to work. The schedule has ended.
func (s *simulation) living() (all []*process) {
	for _, p := range s.procs {
		if !p.gone {
			all = append(all, p)
		}
	}
	return all
}

// recovered holds that all is at work again, within bounds, and stays so.
func (s *simulation) recovered() {
	began := time.Now()
	for _, p := range s.living() {
		ctx, cancel := context.WithTimeout(context.Background(), callsWithin)
		err := p.flush(ctx)
		if errors.Is(err, backend.ErrIndeterminate) && s.taken&nothingLost != 0 {
			err = p.flush(ctx) // a sum from before was given up
		}
		if err != nil || !p.add(ctx) {
			s.t.Errorf("%v after the last fault %s does not count: %v", callsWithin, p.id, err)
		}
		cancel()
	}
	for _, o := range s.offices {
		within := disturbed + ledWithin
		if o.strict {
			within += strictly
		}
		s.within(began, within, &o.owned)
	}
	for _, o := range s.slots {
		within := disturbed + runWithin
		if s.strict {
			within += ttl
		}
		s.within(began, within, o)
	}
	s.locked()
	time.Sleep(time.Until(began.Add(disturbed + seenWithin)))
	synctest.Wait()
	s.converged()

	// All still goes on, undisturbed.
	s.mu.Lock()
	saves, numbers := [2]int{s.offices[0].progress.saves, s.offices[1].progress.saves}, s.numbered.total
	s.mu.Unlock()
	time.Sleep(6 * ttl)
	s.mu.Lock()
	for i, o := range s.offices {
		if o.progress.saves == saves[i] {
			s.t.Errorf("nobody saves in %s", o.what)
		}
	}
	if s.numbered.total-numbers < 2*len(s.living()) {
		s.t.Errorf("only %d numbers were issued in a minute", s.numbered.total-numbers)
	}
	s.mu.Unlock()
	s.converged()
}

// within waits until something has one owner, who lives, until the deadline. An
// owner that has just ended is followed within a moment.
func (s *simulation) within(began time.Time, d time.Duration, o *owned) {
	for deadline := began.Add(d); ; time.Sleep(100 * time.Millisecond) {
		s.mu.Lock()
		now := o.running()
		s.mu.Unlock()
		if len(now) == 1 && !now[0].process.gone {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%v after the last fault %s has the owners %v", d, o.what, who(now))
			return
		}
	}
}

// converged holds that every view shows exactly who lives.
func (s *simulation) converged() {
	living := s.living()
	for _, p := range living {
		reg := p.reg.Load()
		if reg == nil {
			s.t.Errorf("%s has not joined", p.id)
			return
		}
		if err := reg.Context().Err(); err != nil {
			s.t.Errorf("%s is no member any more: %v", p.id, context.Cause(reg.Context()))
		}
	}
	for _, p := range living {
		v := p.group.View()
		if v.Stale || v.Held() > 0 || len(v.Members) != len(living) {
			s.t.Errorf("the view of %s: stale %t, %d held, %d members; %d live", p.id, v.Stale, v.Held(), len(v.Members), len(living))
		}
		for _, other := range living {
			if seen, ok := v.Lookup(other.id); !ok || seen.Incarnation != other.reg.Load().Incarnation() {
				s.t.Errorf("the view of %s shows %s as %q, it is %q", p.id, other.id, seen.Incarnation, other.reg.Load().Incarnation())
			}
		}
	}
}

// end ends all processes, and looks at what they leave.
func (s *simulation) end() {
	s.story.Tell("all end")
	s.quiet.Store(true)
	for _, p := range s.living() {
		p.leave()
	}
	s.ending.Wait()
	time.Sleep(ttl + time.Second) // sessions whose grant was not answered
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.leases {
		if s.server.Expire(id) {
			s.t.Errorf("the session %s is left", id)
		}
	}
	marks := make(map[string]int)
	for _, entry := range s.server.Entries() {
		dir := entry.Key[:strings.LastIndex(entry.Key, "/")]
		marks[dir]++
		if entry.Lease != "" || !persistent.MatchString(entry.Key) {
			s.t.Errorf("%s is left", entry.Key)
		}
	}
	for dir, n := range marks {
		// Two, and marks that landed after another was made.
		if strings.HasSuffix(dir, "/tenure") && n > 8*permits || strings.HasSuffix(dir, "/line") && n > len(s.procs) {
			s.t.Errorf("%d keys are left in %s", n, dir)
		}
	}
	for _, o := range append(s.slots[:], &s.offices[0].owned, &s.offices[1].owned) {
		if now := o.running(); len(now) > 0 {
			s.t.Errorf("%s is still owned by %v", o.what, who(now))
		}
	}
}

// persistent are the keys that docs/operations.md says are kept, and what the
// processes wrote under their guards.
var persistent = regexp.MustCompile("^quorate/(data/.*|" +
	"election/(plain|strict)/tenure/[0-9]+~[A-Z0-9]+(-[0-9]+)?([.]spare)?|" +
	"(mutex/m|semaphore/s)/tenure/(limit|([0-9]+[.])?[0-9]+~[A-Z0-9]+(-[0-9]+)?([.]spare)?)|" +
	"(mutex|semaphore|counter|sequence|tally)/%floor|counter/count/value~0|sequence/ids/value~0|tally/sum/shards/[0-9]+~0|checkpoint/(plain|strict)/value|" +
	"membership/group/members/p[0-9]+~[A-Z0-9]+(-[0-9]+)?~left|" +
	"partition/work/(plan|line/[A-Z0-9]+(-[0-9]+)?))$")

// check looks at the whole, once all have ended.
func (s *simulation) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	allowed := func(p promises) time.Duration {
		if s.holds(p) {
			return 0
		}
		return notification
	}
	for _, o := range s.offices {
		one := oneLeader
		if o.strict {
			one = oneStrictLeader
		}
		o.checkOverlap(s, allowed(one))
		if s.holds(termsGrow) {
			o.checkTokens(s)
		}
		if len(o.spans) == 0 {
			s.t.Errorf("nobody ever led %s", o.what)
		}
	}
	for _, o := range s.slots {
		one := oneOwner
		if s.strict {
			one = oneStrictOwner
		}
		o.checkOverlap(s, allowed(one))
		if s.holds(tokensGrow) {
			o.checkTokens(s)
		}
		if len(o.spans) == 0 {
			s.t.Errorf("nobody ever ran %s", o.what)
		}
	}
	s.locks.check(s, allowed(oneLeader))
	s.counted.check(s)
	s.tallied.check(s)
	s.asks()
}

// asks asks the library itself, in peace, for what the checkers know.
func (s *simulation) asks() {
	s.mu.Unlock()
	defer s.mu.Lock()
	store, err := memory.Open(s.server, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	c, err := counter.New(store, "count", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	tally, err := counter.NewTally(store, "sum", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if value, err := c.Value(s.t.Context()); err != nil || value != s.counted.value {
		s.t.Errorf("Value = %d, %v, the store has %d", value, err, s.counted.value)
	}
	if total, err := tally.Total(s.t.Context()); err != nil || total != s.tallied.total() {
		s.t.Errorf("Total = %d, %v, the store has %d", total, err, s.tallied.total())
	}
	if err := tally.Close(); err != nil {
		s.t.Errorf("Close of a Tally: %v", err)
	}
}

// all is what happened in all seeds, which says whether they were worth it.
var all totals

type totals struct {
	mu      sync.Mutex
	seeds   int
	faults  [faultKinds]int
	did     map[string]int
	overlap map[string]time.Duration
}

func (a *totals) add(s *simulation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seeds++
	for f, n := range s.counts {
		a.faults[f] += n
	}
	if a.did == nil {
		a.did, a.overlap = make(map[string]int), make(map[string]time.Duration)
	}
	for _, o := range s.offices {
		a.did["tenures"] += len(o.spans)
		a.did["saves"] += o.progress.saves
	}
	for _, o := range s.slots {
		a.did["bodies of slots"] += len(o.spans)
	}
	for _, o := range s.locks {
		a.did["locks held"] += len(o.spans)
	}
	a.did["adds"] += s.counted.total
	a.did["adds in doubt"] += int(s.counted.doubt)
	a.did["flushes"] += s.tallied.flush
	a.did["numbers"] += s.numbered.total
	a.did["guarded writes"] += s.writes
	a.overlap[kinds[s.kind].name] = max(a.overlap[kinds[s.kind].name], s.overlap)
}

// report says what happened, and fails if that was too little.
func (a *totals) report(t *testing.T) {
	if a.seeds == 0 {
		return // -run chose none
	}
	for what, n := range a.did {
		t.Logf("%7d %s", n, what)
		if n < a.seeds {
			t.Errorf("%d %s in %d seeds: too little to say anything", n, what, a.seeds)
		}
	}
	for f, n := range a.faults {
		t.Logf("%7d times %s", n, rules[f].what)
		if n == 0 && a.seeds >= 100 {
			t.Errorf("it never happened that %s", rules[f].what)
		}
	}
	t.Logf("longest overlaps by kind of seed: %v", a.overlap)
}
