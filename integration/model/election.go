package model

// The model of package election, rule by rule. This file has the state;
// election_store.go the store, election_candidate.go the steps of a candidate,
// election_decide.go its decisions, and election_faults.go the faults.
//
//	elStart, elRead, elRead2   election/view.go read: the queue, then tenure/
//	campaigns, inQueue         election/decide.go decide, campaign.go do
//	elAhead, elHead            election/wait.go waitBehind, waitAtHead
//	sendTake, lead, replace    election/take.go take, replaceMarks; leadership.go lead
//	clears, clear              election/cleanup.go settle, clear
//	stands, sendRelease        election/upkeep.go compare; resign.go giveUpInOrder
//	collect                    election/cleanup.go claim; backend/orphans.go
//	elPause, pauses            election/take.go takeFromQueue; upkeep.go confirmRegularly (Strict)
//	arrive, holds, apply       backend/driver Commit: all conditions, then all operations
//	elRemove, elLimit          lock.Remove, lock.Semaphore.Resize
//
// A mutex is an election, a semaphore an election with n seats. A priority is
// that of the queue entry; a candidate changes it by putting the entry.
//
// Trust: the holder of a session trusts it until its window ends. Only then may
// the store expire the session, or never (backend/session.go, internal/trust).

const (
	elCandidates = 3
	elSeats      = 2
	elMarks      = 6
	elQueue      = 5
	elFlights    = 6
)

// Of docs/guarantees.md, "Election".
var (
	elOneLeads = says("at most one process leads at a time, as long as the store does not give the office away before its time")
	elStrict   = says("with Strict at most one leads even when keys are deleted or leases revoked early")
	elGrows    = says("terms grow strictly as long as the store keeps the highest; two keys may be deleted")
	elGuard    = says("a guarded commit is applied only while the ownership holds in the store: no guard of an older tenure passes")
	elOrder    = says("first come, first served: a candidate that waited when a campaign began is served before it")
	elNamed    = says("a named successor that waits is served before all others")
	elPrior    = says("a candidate that waits when the office becomes free is served before those with a lower priority")
	elOver     = says("a campaign that has been given up takes no office afterwards")
	elOthers   = says("no clean-up or resignation deletes the leader key of another tenure")
	elLimits   = says("once the number of permits was lowered to n, no permit with the number n or a higher one is given")
	elFloor    = says("the floor, which all names share, never goes back")
	elInUse    = says("a name is removed only while nobody holds it")
)

// elTenure names a time in office.
type elTenure struct{ Number, Who, Nonce uint8 }

// elMark is a mark: its name, which is unique, and its value. Kind is part of
// the name.
type elMark struct {
	elTenure
	Kind  uint8
	Clean bool
	Next  elName // the candidate that is named as successor
}

// elName names a campaign, and its queue entry.
type elName struct{ Who, Nonce uint8 }

// Kinds of marks.
const (
	elOwn   = iota // of a tenure: its guard names it
	elSpare        // of a tenure: the second key that has the number
	elBase         // of no tenure: it has a number, and a nonce of its own
)

func (k elMark) sameName(o elMark) bool { return k.elTenure == o.elTenure && k.Kind == o.Kind }

// elEntry is a queue entry. Touched counts the puts to it.
type elEntry struct{ Who, Nonce, Session, Touched, Prio uint8 } // Who from 1

type elLeader struct {
	Tenure  elTenure
	Session uint8
	Jumped  bool // it took the office out of turn: it may have passed others
}

// elSeat is the directory tenure/ of a seat. An election has one seat.
type elSeat struct {
	Leader elLeader
	Marks  [elMarks]elMark // highest first

	// Ghosts, of this history of the store.
	Last   elTenure // the last tenure
	Waited uint8    // who waited when the office became free
	Forgot bool     // since then no key had its number for a while
}

type elStore struct {
	Queue [elQueue]elEntry // by creation
	Seats [elSeats]elSeat
	Floor elKey               // of all names: numbers of a name without marks are above it
	Limit elKey               // of a lock: how many seats there are; none if it is not in use
	Alive [elCandidates]uint8 // sessions, as a set of bits
	// Ranked: a key in tenure/ says that there are priorities. It stays.
	Ranked bool
}

// elKey is a key with a number. Versions count its puts.
type elKey struct{ Number, Version uint8 }

// The commits.
const (
	elJoin    = iota + 1
	elTake    // create the leader key and two marks, delete all marks that were read, and the own queue entry
	elMarkUp  // create marks with a number: the base mark; or two that make the highest secure
	elRaise   // replace all marks that were read by two with a higher number
	elReplace // replace the marks that a take in doubt names
	elRelease // delete the leader key, put the own marks clean
	elClear   // delete the leader key; all marks that were read are unchanged
	elLeave   // delete the own queue entry, whether it exists or not
	elOpen    // create the limit
	elRemove  // delete all marks of a seat and put the floor as high as they are; with the last, delete the limit
	elLimit   // put the number of seats
)

var elKinds = [...]string{
	"", "join", "take", "create marks", "raise marks", "replace marks", "release", "clear leader", "leave the queue",
	"begin to use the name", "remove the name", "change the limit",
}

// elCommit is a commit on its way.
type elCommit struct {
	Kind    uint8 // 0 if there is none
	By      uint8 // from 1
	Waited  bool
	Nonce   uint8 // of the campaign
	Queued  bool  // a take: it deletes the own queue entry
	Jumped  bool
	Session uint8
	Seat    uint8
	Tenure  elTenure        // that it makes or ends
	Marks   [elMarks]elMark // that it names
	Create  [elMarks]elMark // marks up, raise, replace: the marks that it creates
	Floor   elKey           // that it names: marks up where there is no mark, and remove
	Limit   elKey           // that it names, or puts
	Next    elName          // release: the successor that it names,
	Touch   elEntry         // and the entry before that one, which it puts
}

// The states of a candidate.
const (
	elOut   = iota // between campaigns: only the collector works
	elStart        // needs a session; begins a campaign
	elRead         // reads the queue, then
	elRead2        // tenure/, and decides
	elAhead        // watches the entry ahead
	elHead         // watches tenure/
	elPause        // Strict: a TTL of the last holder
	elLeads
	elAwaits // the reply to its commit
)

// The purpose of a read.
const (
	elCampaigns = iota
	elVacates   // resigns, in good standing as far as it knows
	elClears    // gives up what is left of a tenure or a campaign
	elSweeps    // the collector, between campaigns
)

// elCandidate is one Election in a process of its own, with a session.
type elCandidate struct {
	Up      bool
	Trusted bool
	Tries   bool  // it never queues: TryLock
	Session uint8 // of the process; numbers are not used twice
	Under   uint8 // the session of the campaign
	Nonce   uint8
	Nonces  uint8 // used
	At      uint8
	Mode    uint8
	Leaves  bool // the end of this mode is elOut, not another campaign
	Tried   bool // the express take has been tried, or must not be
	Joined  bool // the queue entry has been sent
	Seen    [elSeats]elTenure
	Leading elTenure
	Seat    uint8   // that it leads, takes or clears
	Ahead   elEntry // as it was listed
	Target  uint8   // the nonce that it clears
	News    bool    // the driver began a new generation

	Queue  [elQueue]elEntry // between two reads
	Marks  [elMarks]elMark  // that a take after a pause names
	Doubt  [elMarks]elMark  // that a take in doubt names
	Doubts uint8            // the seat of that

	// Strict: who may believe to lead since before the pause began; and its
	// take, if it lands, is too old to lead by.
	Pending uint8
	Late    bool

	Prio uint8 // of its next queue entry

	Came uint8 // a ghost: who waited in the queue when the campaign began
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
	TrustEnds, RepliesLost, Resigns, Cancels, Crashes, Again, Transfers uint8
	Revoked, EntryDeleted, LeaderDeleted, MarkDeleted                   uint8
	Wiped, Restored, Removed, Others, Limited, Reranked                 uint8
}

// election is a configuration.
type election struct {
	faults elFaults
	total  uint8
	n      int // candidates; 2 if not set
	seats  int // 1 if not set
	strict bool
	atOnce bool // a round of reads is of one instant, as on etcd
	// history: the office was held before, and resigned.
	history bool
	// begun: the first candidate leads at the start, and the second waits.
	begun bool
	// out: how many candidates, from the last, do not campaign at the start.
	out int
	// tries: how many candidates, from the last, never queue.
	tries int
	// lock: it has a limit and a floor, so that it can be removed.
	lock bool
	// limit: how many of the seats there are at first; all if not set. A change
	// of it makes it limited.
	limit, limited uint8
	prio           [elCandidates]uint8
	// remembered: terms grow as long as any candidate that is up remembers them.
	remembered bool

	elBent
}

// elBent is what mutants leave out, or bend.
type elBent struct {
	noSweep, noRaise, noSecure, noSpare, noBase, oneMark, oldMarks, noEntryCondition,
	clearBlindly, releaseBlindly, markNotWatched, expiresTrusted, noPause, noConfirm,
	expressBlindly, noReplace, replaceZero, doubtWaits, namedIgnored, namedForEver,
	noTouch, jumpIgnored, raiseClean, raiseKeeps, floorNotNamed, floorNotRaised,
	secureBlindly, limitNotNamed, limitNotPut, removeBlindly, removeNoFloorCheck,
	priorUnread, rankedSilently, rerankedSilently, namedAmongRanks bool
}

// defaults fills in what a configuration leaves out.
func (m *election) defaults() {
	if m.n == 0 {
		m.n = 2
	}
	if m.seats == 0 {
		m.seats = 1
	}
	if m.limit == 0 {
		m.limit = uint8(m.seats)
	}
}

// believes reports whether a candidate believes that it leads.
func (c *elCandidate) believes() bool {
	return c.At == elLeads && c.Trusted && c.Session == c.Under
}

// broken looks at a state as a whole.
func (m *election) broken(s elState) string {
	for seat := range m.seats {
		leaders := 0
		for i := range s.C {
			if s.C[i].believes() && int(s.C[i].Seat) == seat {
				leaders++
			}
		}
		st := &s.Store.Seats[seat]
		switch {
		case s.Broken != 0:
		case leaders > 1 && !s.Early:
			s.Broken = elOneLeads
		case leaders > 1 && m.strict:
			s.Broken = elStrict
		case st.Leader != elLeader{}:
			// The guard of a tenure: the leader key and its own mark exist.
			for _, k := range st.Marks {
				if k != (elMark{}) && k.Kind == elOwn && k.elTenure != st.Last {
					s.Broken = elGuard
				}
			}
		}
	}
	return s.Broken.String()
}

// good: every seat that is wanted has a leader, the store says so, and no
// candidate knows a higher term; or no candidate campaigns, and nothing is left
// in the way of a later one.
func (m *election) good(s elState) bool {
	wanted, led := 0, 0
	for i := range s.C {
		if s.C[i].Up && s.C[i].At != elOut && (!s.C[i].Tries || s.C[i].At == elLeads) {
			wanted++
		}
	}
	for seat := range m.seats {
		st := &s.Store.Seats[seat]
		for i := range s.C {
			c := &s.C[i]
			if c.believes() && int(c.Seat) == seat && st.Leader.Tenure == c.Leading && st.marked(c.Leading) {
				led++
				for j := range s.C {
					o := &s.C[j]
					if o.Up && o.At != elOut && o.Seen[seat].Number > c.Leading.Number {
						return false
					}
				}
			}
		}
		if wanted == 0 && st.Leader != (elLeader{}) {
			return false
		}
	}
	if wanted == 0 {
		return s.Store.Queue[0] == elEntry{}
	}
	return led >= min(wanted, m.open(&s.Store))
}

func (m *election) run(limit int) Result {
	m.defaults()
	init := elState{Left: m.faults, Total: m.total}
	if m.lock && (m.history || m.begun) {
		init.Store.Limit.Number = m.limit
	}
	for seat := range m.seats {
		if m.history {
			last := elTenure{Number: 3}
			st := &init.Store.Seats[seat]
			st.Marks[0] = elMark{elTenure: last, Kind: elSpare, Clean: true}
			st.Marks[1] = elMark{elTenure: last, Clean: true}
			st.Last = last
		}
	}
	for i := range m.n {
		init.C[i] = elCandidate{Up: true, At: elStart, Tries: i >= m.n-m.tries, Prio: m.prio[i]}
		if i >= m.n-m.out {
			init.C[i].At = elOut
		}
	}
	if m.begun {
		m.begin(&init)
	}
	return Search(Protocol[elState]{Init: init, Next: m.next, Broken: m.broken, Good: m.good}, limit)
}

// begin is a start at which the first candidate leads and the second waits, if
// it is not out.
func (m *election) begin(s *elState) {
	t := elTenure{Number: 2, Who: 1, Nonce: 1}
	st := &s.Store.Seats[0]
	*st = elSeat{Leader: elLeader{Tenure: t, Session: 1}, Last: t}
	st.mark(elMark{elTenure: t})
	if !m.noSpare {
		st.mark(elMark{elTenure: t, Kind: elSpare})
	}
	for i := range min(2, m.n-m.out) {
		c := &s.C[i]
		c.Trusted, c.Session, c.Under, c.Nonce, c.Nonces, c.Tried = true, 1, 1, 1, 1, true
		s.Store.Alive[i] = 1 << 1
		c.Seen[0] = t
	}
	s.C[0].At, s.C[0].Leading = elLeads, t
	if m.n-m.out < 2 {
		return
	}
	s.C[1].At, s.C[1].Joined = elHead, true
	s.Store.Queue[0] = elEntry{Who: 2, Nonce: 1, Session: 1, Prio: m.prio[1]}
}
