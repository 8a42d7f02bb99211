package model

// The model of package partition, of one slot, rule by rule. This file has the
// state and the store; claims_member.go what a member does, claims_plan.go how
// it plans, and claims_faults.go what happens to it.
//
//	clCreates, clCreated      partition/member.go create: the own claims, which say "leaving"
//	looks, take, settle       partition/round.go look, take, settle: marks, plan, own claims, in this order
//	decide                    partition/round.go step: stopOthers, update, beginOwned, claimed
//	list, free                partition/round.go step, claim; others.go list, free
//	propose                   partition/propose.go propose, prepareLine; others.go seats
//	write, replied            partition/round.go write
//	ends, clEnds, the sweep   partition/member.go serve, cleanUp; sweep.go
//	Wait, Old, Closed         partition/others.go free, round.go trust (Strict)
//	arrive, holds, apply                    backend/driver Commit: all conditions, then all operations
//
// A registration is used by one member only; a process has two, one after the
// other. Which seat an unbalanced plan moves the slot to is anybody's choice
// here (partition/assign.go has tests of its own).

const (
	clProcesses = 2
	clClaimed   = 2 * clProcesses // registrations
	clMarks     = 4
	clFlights   = 5
	clSent      = 3
)

// Of docs/guarantees.md, "Partition".
var (
	clOneRuns = says("a slot is run by at most one member at a time, as long as the store does not give claims away before their time")
	clStrict  = says("with Strict at most one member runs a slot even when keys are deleted or leases end early")
	clGrows   = says("tokens of a slot grow from one owner to the next")
	clGuard   = says("a guarded write is refused once another member has claimed the slot")
)

// clPlan is the plan, its table being of one slot.
type clPlan struct {
	There   bool
	Version uint8
	Epoch   uint8
	Nonce   uint8
	Line    uint8 // the name of its mark
	Owner   uint8 // a registration + 1, 0 for nobody
	Token   uint8
}

// clWrite is a value of claims.
type clWrite struct {
	Write   uint8 // numbers the values of a registration: no two are equal
	Leaving bool
	Holds   bool
	Token   uint8
	Epoch   uint8
}

type clClaims struct {
	There   bool
	Version uint8
	Created uint8 // tells one creation from the next
	Session uint8
	clWrite
}

type clStore struct {
	Plan   clPlan
	Marks  [clMarks]uint8 // names, never used twice
	Claims [clClaimed]clClaims
	Dead   uint8 // sessions that have ended, as a set
}

// What a commit does.
const (
	clMake = iota + 1
	clPut
	clPropose
	clBase
)

// clCommit is a commit on its way.
type clCommit struct {
	Kind   uint8
	By     uint8 // a process, from 1
	Waited bool
	Reg    uint8
	Lease  uint8 // of what it creates
	Own    uint8 // the version of the own claims that it is conditioned on
	Value  clWrite
	Claim  bool // it is conditioned on the plan too
	Before clPlan
	Mark   uint8          // that has to be there, 0 for none
	Delete [clMarks]uint8 // marks
	Make   uint8          // a mark
	Plan   clPlan
}

// What a member is at.
const (
	clOut     = iota // its Run has returned
	clJoins          // waits for a session and a registration
	clCreates        // sends the own claims
	clCreated        // reads whether they are there
	clIdle           // looks: reads the marks,
	clLook2          // the plan,
	clLook3          // and the own claims, and decides
	clLists          // the claims, then claims or proposes
	clAwaits         // the reply to a commit
	clEnds           // its bodies are to return; then its claims are deleted
)

// What a body is at.
const (
	clNone = iota
	clRuns
	clReturns // its context has ended, it has not returned
)

// clProcess is one process: a Partition with one member after the other.
type clProcess struct {
	Up, Trusted bool
	Session     uint8
	Sessions    uint8 // granted
	Reg         uint8 // the present registration
	Used        uint8 // registrations used
	Names       uint8 // used for nonces and marks
	At          uint8
	Leaving     bool // its Run is to end
	Planned     bool // and the slots were planned without it
	Restart     bool // after clEnds another registration follows
	Epoch       uint8
	Nonce       uint8 // of the highest plan seen

	Own    clWrite
	OwnVer uint8
	Writes uint8
	Sent   [clSent]clWrite // on that version, with unknown outcome
	NSent  uint8

	Body  uint8
	Token uint8 // of the body

	Read  clPlan // the last plan there was
	There bool
	Fork  bool
	Mark  bool // of the plan's line, among the listed
	Marks [clMarks]uint8

	// Strict.
	Held     [clClaimed]uint8 // created when, of claims seen to hold the slot
	Released bool
	Wait     uint8 // 0 not begun, 1 begun, 2 over
	Old      bool  // the last look began before another's wait
	OldLook  bool  // the present one did
	Closed   bool  // and that wait is over: the trust window is closed
}

type clState struct {
	Store, Snapshot clStore
	Snapped         bool
	P               [clProcesses]clProcess
	Flights         [clFlights]clCommit
	Left            clFaults
	Total           uint8

	// Ghosts.
	Early    bool // keys went before their time
	Lost     bool // the store has lost epochs
	TokMax   uint8
	TokOwner uint8 // the registration + 1 that ran with it
	Broken   sentence
}

// clFaults are how many of each fault there may be.
type clFaults struct {
	RepliesLost, Moves, TrustEnds, Crashes, Quits, Rejoins     uint8
	Revoked, ClaimsDeleted, PlanDeleted, MarkDeleted, Restored uint8
}

// claims is a configuration.
type claims struct {
	faults clFaults
	total  uint8
	strict bool
	atOnce bool // a look is of one instant, as on etcd
	// started: A runs the slot, and B is there too. late: a creation of A's
	// claims that was given up is still under way.
	started, late bool
	// allSeen: every process has seen the newest plan when the store is
	// restored, with its servers stopped; what was read or sent before does not
	// count after it (C12).
	allSeen bool

	clBent
}

// clBent is what mutants leave out, or bend.
type clBent struct {
	noPlanCondition, runsUnsettled, releasesEarly, noSweep, marksKept, noFork, noWait, againIsReleased bool
}

func (s *clStore) marked(name uint8) bool {
	for _, m := range s.Marks {
		if m == name && name != 0 {
			return true
		}
	}
	return false
}

// unmark and mark keep the names in order.
func (s *clStore) unmark(name uint8) {
	for i, m := range s.Marks {
		if m == name && name != 0 {
			copy(s.Marks[i:], s.Marks[i+1:])
			s.Marks[clMarks-1] = 0
			return
		}
	}
}

func (s *clStore) mark(name uint8) bool {
	if s.Marks[clMarks-1] != 0 {
		return false
	}
	i := clMarks - 1
	for ; i > 0 && (s.Marks[i-1] == 0 || s.Marks[i-1] > name); i-- {
		s.Marks[i] = s.Marks[i-1]
	}
	s.Marks[i] = name
	return true
}

func (s *clStore) alive(session uint8) bool { return s.Dead&(1<<session) == 0 }

// end is the end of a lease.
func (s *clStore) end(session uint8) {
	s.Dead |= 1 << session
	for r := range s.Claims {
		if s.Claims[r].There && s.Claims[r].Session == session {
			s.Claims[r] = clClaims{Created: s.Claims[r].Created}
		}
	}
}

// clOf is the process of a registration.
func clOf(reg uint8) int { return int(reg) / 2 }

// holds reports whether all conditions of a commit hold.
func (m *claims) holds(s *clStore, c *clCommit) bool {
	own := &s.Claims[c.Reg]
	unchanged := own.There && own.Version == c.Own
	plan := s.Plan.There == c.Before.There && (!s.Plan.There || s.Plan.Version == c.Before.Version) &&
		(c.Mark == 0 || s.marked(c.Mark))
	switch c.Kind {
	case clMake:
		return !own.There && s.alive(c.Lease)
	case clPut:
		return unchanged && (!c.Claim || plan || m.noPlanCondition)
	case clPropose:
		for _, name := range c.Delete {
			plan = plan && (name == 0 || s.marked(name))
		}
		return unchanged && plan
	default:
		return true
	}
}

// apply does what a commit does, to a store where it holds.
func (m *claims) apply(s *clState, c *clCommit) {
	st := &s.Store
	own := &st.Claims[c.Reg]
	switch c.Kind {
	case clMake:
		*own = clClaims{There: true, Version: 1, Created: own.Created + 1, Session: c.Lease, clWrite: c.Value}
	case clPut:
		own.clWrite = c.Value
		own.Version++
	case clPropose:
		for _, name := range c.Delete {
			st.unmark(name)
		}
		version := uint8(1)
		if st.Plan.There {
			version = st.Plan.Version + 1
		}
		st.Plan = c.Plan
		st.Plan.There, st.Plan.Version = true, version
	}
	if c.Make != 0 && !st.mark(c.Make) {
		s.Broken.is(tooSmall)
	}
}

// broken looks at a state as a whole.
func (m *claims) broken(s clState) string {
	run, held := 0, 0
	for p := range s.P {
		if s.P[p].Body != clNone && s.P[p].Trusted {
			run++
		}
	}
	for r := range s.Store.Claims {
		if c := &s.Store.Claims[r]; c.There && c.Holds {
			held++
		}
	}
	switch {
	case s.Broken != 0:
	case run > 1 && !s.Early:
		s.Broken = clOneRuns
	case run > 1 && m.strict:
		s.Broken = clStrict
	case held > 1 && !s.Early:
		s.Broken = clGuard // both their guards hold
	}
	return s.Broken.String()
}

// good: the plan stands on its line, and its owner, and nobody else, claims and
// runs the slot; or nobody is there, and nothing that could hold the slot.
func (m *claims) good(s clState) bool {
	anybody := false
	for p := range s.P {
		a := &s.P[p]
		anybody = anybody || a.Up && a.At != clOut && (a.At != clJoins || a.Used == 0)
	}
	plan := &s.Store.Plan
	for r := range s.Store.Claims {
		c := &s.Store.Claims[r]
		if c.There && (!anybody || c.Holds != (plan.Owner == uint8(r)+1)) {
			return false
		}
	}
	if !anybody {
		return true
	}
	if !plan.There || !s.Store.marked(plan.Line) || plan.Owner == 0 {
		return false
	}
	owner := plan.Owner - 1
	for p := range s.P {
		a := &s.P[p]
		runs := p == clOf(owner) && a.Trusted && a.Reg == owner && a.Body == clRuns
		if p == clOf(owner) && !runs || p != clOf(owner) && a.Body != clNone {
			return false
		}
	}
	return s.Store.Claims[owner].Holds
}

func (m *claims) run(limit int) Result {
	init := clState{Left: m.faults, Total: m.total}
	for p := range init.P {
		init.P[p] = clProcess{Up: true, At: clJoins}
	}
	if m.started {
		m.start(&init)
	}
	return Search(Protocol[clState]{Init: init, Next: m.next, Broken: m.broken, Good: m.good}, limit)
}

func (m *claims) start(s *clState) {
	line := uint8(1)<<4 | 1
	plan := clPlan{There: true, Version: 1, Epoch: 1, Nonce: line, Line: line, Owner: 1, Token: 1}
	s.Store.Plan, s.Store.Marks[0] = plan, line
	s.TokMax, s.TokOwner = 1, 1
	for p := range s.P {
		reg, own := uint8(2*p), clWrite{Write: 1, Epoch: 1}
		s.P[p] = clProcess{
			Up: true, Trusted: true, Session: reg, Sessions: 1, Reg: reg, Used: 1, Names: 1, At: clIdle,
			Epoch: 1, Nonce: line, OwnVer: 2, Writes: 1, Read: plan, There: true, Mark: true,
		}
		if p == 0 {
			own = clWrite{Write: 2, Holds: true, Token: 1, Epoch: 1}
			s.P[p].OwnVer, s.P[p].Writes, s.P[p].Body, s.P[p].Token = 3, 2, clRuns, 1
		}
		s.P[p].Own = own
		s.P[p].Marks[0] = line
		s.Store.Claims[reg] = clClaims{There: true, Version: s.P[p].OwnVer, Created: 1, Session: reg, clWrite: own}
	}
	if m.late {
		s.Flights[0] = clCommit{Kind: clMake, By: 1, Value: clWrite{Leaving: true}}
	}
}
