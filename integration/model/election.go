package model

// The model of package election, rule by rule. This file has the state and the
// store; election_candidate.go what a candidate does, and election_faults.go
// what happens to it.
//
//	candidate (elStart)     election/campaign.go join
//	reads                   election/state.go read: queue, term, marks, office, in this order
//	decide (elCampaigns)    election/campaign.go round, officeTaken; terms.go raise, baseMark
//	decide (elVacates)      election/leadership.go vacate, standing
//	decide (elClears)       election/sweep.go cleanUp, and vacate of what was lost
//	decide (elSweeps)       election/sweep.go sweep, sweepBetween
//	sendTake, lead          election/campaign.go take, leadership.go lead
//	stands                  election/upkeep.go watch, compare
//	sendRelease             election/leadership.go release
//	clear, clearOffice      election/sweep.go clear; terms.go secure
//	elPause, pauses         election/campaign.go pause; upkeep.go confirmRegularly (Strict)
//	arrive, holds, apply                  backend/driver Commit: all conditions, then all operations
//
// Trust: a session's holder believes in it until its trust ends; only then may
// the store expire it, or never (backend/session.go, internal/trust). That the
// end of trust comes first is what C6 and the margin are for.

const (
	elCandidates = 2
	elMarks      = 4
	elQueue      = 4
	elFlights    = 6
)

// Of docs/guarantees.md, "Election".
var (
	elOneLeads = says("at most one process leads at a time, as long as the store does not give the office away before its time")
	elStrict   = says("with Strict at most one leads even when keys are deleted or leases revoked early")
	elGrows    = says("terms grow strictly as long as the store keeps the highest; mark and term may both be deleted")
	elGuard    = says("a guarded commit is applied only while the ownership stands in the store: no guard of an older tenure holds")
	elOrder    = says("first come, first served: only the head of the queue takes the office")
	elOthers   = says("no clean-up or resignation deletes the office of another tenure")
)

// elTenure names a time in office, and the mark of it. A mark that is of no
// tenure has Who + elNobody, and is unique as well.
type elTenure struct{ Number, Who, Nonce uint8 }

const elNobody = 8

// elTerm is the document "term". Version 0 is its absence; versions begin anew
// when it is created again.
type elTerm struct {
	Version uint8
	Tenure  elTenure
	Clean   bool
}

type elEntry struct{ Who, Nonce, Session uint8 } // Who from 1

type elOffice struct {
	Tenure  elTenure
	Session uint8
}

type elStore struct {
	Queue  [elQueue]elEntry // by creation
	Office elOffice
	Term   elTerm
	Marks  [elMarks]elTenure   // highest first
	Alive  [elCandidates]uint8 // sessions, as a set of bits

	// Ghosts, of this history of the store.
	Last   elTenure // the last that took the office
	Forgot bool     // since then neither term nor a mark had its number for a while
}

// What a commit does.
const (
	elJoin = iota + 1
	elTake
	elBase
	elRaise
	elSecure
	elRelease
	elClearByMark // delete the office, and the queue entry if it is there, on condition of the mark
	elClearOffice // the same where the mark is gone
	elClearEntry  // delete the queue entry, there or not
)

// elCommit is a commit on its way.
type elCommit struct {
	Kind    uint8 // 0 if there is none
	By      uint8 // from 1
	Waited  bool
	Nonce   uint8 // of the queue entry that it names
	Queued  bool  // it deletes the entry as read, and so requires it
	Session uint8
	Tenure  elTenure          // that it makes, gives up or raises to
	Term    uint8             // the version of term that it is conditioned on
	Marks   [elMarks]elTenure // that it names: a take deletes them
	Create  elTenure          // secure: the mark to create
}

// What a candidate is at.
const (
	elOut   = iota // between campaigns: the sweeper
	elStart        // needs a session and a place
	elRead         // reads the queue, then
	elRead2        // the term
	elRead3        // the marks
	elRead4        // the office, and decides
	elWait         // for the key ahead to go
	elPause        // Strict: a TTL of the last holder
	elLeads
	elAwaits // the reply to its commit
)

// Why it reads.
const (
	elCampaigns = iota
	elVacates   // resigns, in good standing as far as it knows
	elClears    // gives up what is left of a tenure or campaign
	elSweeps    // between campaigns
)

// elCandidate is one Election in a process of its own, with a session.
type elCandidate struct {
	Up      bool
	Trusted bool
	Session uint8 // of the process; numbers are not used twice
	Under   uint8 // the session of the campaign
	Nonce   uint8
	Nonces  uint8 // used
	At      uint8
	Mode    uint8
	Leaves  bool // what it ends with is elOut, not another campaign
	Seen    elTenure
	Leading elTenure
	Held    uint8    // the version of term that the leader knows
	Ahead   elEntry  // that it waits for to go,
	Office  elTenure // or this; or what it clears once the number is secure
	Target  uint8    // the nonce that it clears
	Queued  bool     // and whether its queue entry was there

	// What it has read so far.
	Queue [elQueue]elEntry
	Term  elTerm
	Marks [elMarks]elTenure

	// Strict: who may believe to lead since before the pause began; and its
	// take, if it lands, is too old to lead by.
	Pending uint8
	Late    bool
}

type elState struct {
	Store, Snapshot elStore
	Snapped         bool
	C               [elCandidates]elCandidate
	Flights         [elFlights]elCommit
	Left            elFaults
	Total           uint8 // faults left in all
	Early           bool  // a ghost: keys went before their time
	Broken          sentence
}

// elFaults are how many of each fault there may be.
type elFaults struct {
	TrustEnds, RepliesLost, Resigns, Cancels, Crashes, Again      uint8
	Revoked, EntryDeleted, OfficeDeleted, TermDeleted, MarkDelete uint8
	Wiped, Restored                                               uint8
}

// election is a configuration.
type election struct {
	faults elFaults
	total  uint8
	strict bool
	atOnce bool // a round of reads is of one instant, as on etcd
	// history: the office was held before, and resigned.
	history bool
	// remembered: terms grow as long as any candidate that is up remembers them.
	remembered bool

	elBent
}

// elBent is what mutants leave out, or bend.
type elBent struct {
	noSweep, noRaise, noSecure, raiseOnly, noBase, oneMark, oldMarks, noTermCondition, noEntryCondition, clearBlindly, releaseBlindly, markNotWatched, expiresTrusted, noPause, noConfirm bool
}

func (s *elStore) place(who, nonce uint8) int {
	for i, e := range s.Queue {
		if e.Who == who && e.Nonce == nonce && who != 0 {
			return i
		}
	}
	return -1
}

func (s *elStore) leave(i int) {
	copy(s.Queue[i:], s.Queue[i+1:])
	s.Queue[elQueue-1] = elEntry{}
}

func (s *elStore) marked(t elTenure) bool {
	for _, m := range s.Marks {
		if m == t {
			return true
		}
	}
	return false
}

func (s *elStore) unmark(t elTenure) {
	for i, m := range s.Marks {
		if m == t {
			copy(s.Marks[i:], s.Marks[i+1:])
			s.Marks[elMarks-1] = elTenure{}
			return
		}
	}
}

// mark reports whether there was room.
func (s *elStore) mark(t elTenure) bool {
	if s.Marks[elMarks-1] != (elTenure{}) {
		return false
	}
	i := elMarks - 1
	for ; i > 0 && higher(t, s.Marks[i-1]); i-- {
		s.Marks[i] = s.Marks[i-1]
	}
	s.Marks[i] = t
	return true
}

// higher is the order of decodeMarks: by number, then by nonce.
func higher(a, b elTenure) bool {
	if a.Number != b.Number {
		return a.Number > b.Number
	}
	if a.Who != b.Who {
		return a.Who > b.Who
	}
	return a.Nonce > b.Nonce
}

func (s *elStore) alive(who, session uint8) bool { return s.Alive[who-1]&(1<<session) != 0 }

// end is the end of a lease: all its keys go at one instant.
func (s *elStore) end(who, session uint8) {
	s.Alive[who-1] &^= 1 << session
	for i := elQueue - 1; i >= 0; i-- {
		if s.Queue[i].Who == who && s.Queue[i].Session == session {
			s.leave(i)
		}
	}
	if s.Office.Tenure.Who == who && s.Office.Session == session {
		s.Office = elOffice{}
	}
}

// forgets keeps the ghost up to date.
func (s *elStore) forgets() {
	if max(s.Term.Tenure.Number, s.Marks[0].Number) < s.Last.Number {
		s.Forgot = true
	}
}

// holds reports whether all conditions of a commit hold.
func (m *election) holds(s *elStore, c *elCommit) bool {
	here := func(t elTenure) bool { return t == elTenure{} || s.marked(t) }
	if c.Queued && s.place(c.By, c.Nonce) < 0 {
		return false
	}
	switch c.Kind {
	case elTake:
		marks := true
		for _, t := range c.Marks {
			marks = marks && here(t)
		}
		return s.Office == elOffice{} && marks &&
			(s.place(c.By, c.Nonce) >= 0 || m.noEntryCondition) &&
			(s.Term.Version == c.Term || m.noTermCondition)
	case elRaise, elSecure:
		return s.Term.Version == c.Term
	case elRelease:
		// The office is compared by a version, which is no better than that it
		// is there.
		return (s.marked(c.Tenure) || m.releaseBlindly) && s.Office != elOffice{} && s.Term.Version == c.Term
	case elClearByMark:
		return s.Office != elOffice{} && (s.marked(c.Tenure) || m.clearBlindly)
	case elClearOffice: // the queue entry, if it was read, is the condition
		return s.Office != elOffice{}
	default:
		return true
	}
}

// apply does what a commit does, to a store where it holds.
func (m *election) apply(s *elState, c *elCommit) {
	st := &s.Store
	room := true
	vacate := func() {
		if st.Office.Tenure != c.Tenure {
			s.Broken.is(elOthers)
		}
		st.Office = elOffice{}
		if i := st.place(c.By, c.Nonce); i >= 0 {
			st.leave(i)
		}
	}
	switch c.Kind {
	case elJoin:
		room = st.Queue[elQueue-1] == elEntry{}
		for i := range st.Queue {
			if st.Queue[i] == (elEntry{}) {
				st.Queue[i] = elEntry{c.By, c.Nonce, c.Session}
				break
			}
		}
	case elTake:
		m.grows(s, c)
		if st.place(c.By, c.Nonce) != 0 && !s.Early {
			s.Broken.is(elOrder)
		}
		for _, t := range c.Marks {
			st.unmark(t)
		}
		room = st.mark(c.Tenure)
		st.Office = elOffice{c.Tenure, c.Session}
		st.Term = elTerm{Version: st.Term.Version + 1, Tenure: c.Tenure}
		st.Last, st.Forgot = c.Tenure, false
	case elBase:
		room = st.mark(c.Create)
	case elRaise:
		st.Term = elTerm{Version: st.Term.Version + 1, Tenure: c.Tenure}
	case elSecure:
		if c.Tenure.Number > st.Term.Tenure.Number {
			st.Term = elTerm{Version: st.Term.Version + 1, Tenure: c.Tenure}
		}
		if c.Create != (elTenure{}) {
			room = st.mark(c.Create)
		}
	case elRelease:
		vacate()
		st.Term = elTerm{Version: st.Term.Version + 1, Tenure: c.Tenure, Clean: true}
	case elClearByMark, elClearOffice:
		vacate()
	case elClearEntry:
		if i := st.place(c.By, c.Nonce); i >= 0 {
			st.leave(i)
		}
	}
	if !room {
		s.Broken.is(tooSmall)
	}
}

// grows asks of a take whether its number may be used: not if the store has
// kept a higher one, nor if the taker knows of one; and where nothing else
// happened than that mark and term were deleted, nor if anybody does.
func (m *election) grows(s *elState, c *elCommit) {
	known := !s.Store.Forgot
	for i := range s.C {
		a := &s.C[i]
		asked := m.remembered || i == int(c.By)-1
		known = known || asked && a.Up && a.At != elOut && a.Seen.Number >= c.Tenure.Number
	}
	if known && c.Tenure.Number <= s.Store.Last.Number {
		s.Broken.is(elGrows)
	}
}

// believes reports whether a candidate believes that it leads.
func (c *elCandidate) believes() bool {
	return c.At == elLeads && c.Trusted && c.Session == c.Under
}

// broken looks at a state as a whole.
func (m *election) broken(s elState) string {
	leaders := 0
	for i := range s.C {
		if s.C[i].believes() {
			leaders++
		}
	}
	st := &s.Store
	switch {
	case s.Broken != 0:
	case leaders > 1 && !s.Early:
		s.Broken = elOneLeads
	case leaders > 1 && m.strict:
		s.Broken = elStrict
	case st.Office != elOffice{}:
		// The guard of a tenure: the office and its own mark are there.
		for _, t := range st.Marks {
			if t != (elTenure{}) && t.Who < elNobody && t != st.Last {
				s.Broken = elGuard
			}
		}
	}
	return s.Broken.String()
}

// good: somebody leads, the store says so, and nobody who campaigns knows a
// higher term; or nobody wants to, and nothing stands in the way of who may.
func (m *election) good(s elState) bool {
	wanted, led, known := false, uint8(0), uint8(0)
	for i := range s.C {
		c := &s.C[i]
		if c.believes() && s.Store.Office.Tenure == c.Leading && s.Store.marked(c.Leading) {
			led = c.Leading.Number
		}
		if c.Up && c.At != elOut {
			wanted, known = true, max(known, c.Seen.Number)
		}
	}
	if led > 0 {
		return led >= known
	}
	return !wanted && s.Store.Queue[0] == elEntry{} && s.Store.Office == elOffice{}
}

func (m *election) run(limit int) Result {
	init := elState{Left: m.faults, Total: m.total}
	if m.history {
		last := elTenure{Number: 5, Who: elNobody}
		init.Store.Term, init.Store.Marks[0], init.Store.Last = elTerm{1, last, true}, last, last
	}
	for i := range init.C {
		init.C[i] = elCandidate{Up: true, At: elStart}
	}
	return Search(Protocol[elState]{Init: init, Next: m.next, Broken: m.broken, Good: m.good}, limit)
}
