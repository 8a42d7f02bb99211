package model

// The model of restart.Checkpoint, rule by rule:
//
//	sendClaim, work, claimed     restart/protocol.go claim: a fresh token on the document as read; what a look decides
//	sendSave, resave, saved      restart/protocol.go save: the next seq on the document as last known; what a look decides
//	failed                       the end of save: with ErrIndeterminate, if an attempt was in doubt
//	arrive                       backend/driver Commit and the guards of backend/guard.go: compare, then put
//	givesUp                      a call's deadline (backend/calls.go), and the caller's context
//	disasters                    a restore, with the generation of clause C12, and a document deleted by hand
//
// A read and the commit that is made of it are one step: the store sees the
// commit only when it arrives, which is a step of its own.

const (
	ckWorkers = 2
	ckFlights = 6 // commits under way, those that were given up included
	ckSaves   = 3 // a worker begins at most
)

// What a worker is at.
const (
	ckIdle     = iota // no claim
	ckClaiming        // waits for the reply to the commit of a claim
	ckReclaim         // reads what became of it
	ckOwns
	ckSaving // waits for the reply to the commit of a save
	ckResave // reads what became of it
	ckFenced
)

// What a save or a claim must not do; see docs/guarantees.md, "Restart and
// checkpoints".
var (
	ckClaimReturns  = says("Claim returns the value last acknowledged, or one whose save was in doubt and replaced it")
	ckEarlierClaim  = says("from a Claim on, every save under an earlier claim is refused, those under way included")
	ckNothingOnTop  = says("no late or repeated save lands on top of a later one")
	ckStoredOnce    = says("no save is stored twice")
	ckAcknowledged  = says("a save that is acknowledged is what the document holds")
	ckSurelyRefused = says("an error of Save without ErrIndeterminate means that the value is not stored, now or later")
	ckGuarded       = says("a guard given to Claim is a condition of that claim and of each save under it")
)

// ckDocument is the document of a checkpoint.
type ckDocument struct {
	There      bool
	Version    uint8
	Generation uint8 // of the driver that read it: C12
	Token      uint8
	Seq        uint8
	Value      uint8
}

// ckStore is what a snapshot keeps.
type ckStore struct {
	Doc    ckDocument
	Stored uint8 // ghost: the values that a save put here, as a set
}

// ckCommit is a commit on its way to the store.
type ckCommit struct {
	By     uint8 // its worker + 1; 0 if there is none
	Waited bool  // its sender still waits for the reply
	Claim  bool
	Base   ckDocument // what it is conditioned on
	Doc    ckDocument // what it puts
	Guard  uint8      // the tenure that it is also conditioned on
}

// ckWorker is one Checkpoint, with who uses it.
type ckWorker struct {
	At      uint8
	Token   uint8 // of the last attempt of a claim, or of the claim
	Seq     uint8 // of the last save, whatever came of it
	Known   ckDocument
	Doubt   bool  // an attempt of the present save was in doubt
	Settled bool  // the last save was acknowledged, or there was none
	Guard   uint8 // the tenure it was given to Claim with
	Claims  uint8 // begun
	Tries   uint8 // tokens used
	Saves   uint8 // begun
	Present uint8 // the value of the last save
}

type ckState struct {
	Store    ckStore
	Snapshot ckStore
	Snapped  bool
	Revision uint8 // the highest version ever given
	Gen      uint8
	Office   uint8 // the tenure that stands, if there are guards: A's, B's, A's...
	Workers  [ckWorkers]ckWorker
	Flights  [ckFlights]ckCommit

	GiveUps, CtxEnds, Restores, Deletions, Moves uint8 // faults that may yet be

	// Ghosts.
	Best    uint8 // the value that was acknowledged last
	Open    uint8 // the values that may replace it: saves in doubt, as a set
	Denied  uint8 // values whose Save said that they are not stored
	Claimed uint8 // the worker + 1 whose claim was acknowledged last
	Broken  sentence
}

// checkpoint is a configuration.
type checkpoint struct {
	claims                                       [ckWorkers]uint8 // each worker begins, at most
	saves                                        uint8
	giveUps, ctxEnds, restores, deletions, moves uint8 // faults
	revisions                                    bool  // versions never repeat (etcd, Consul); else they count anew with each key
	guards                                       bool
	lateCommits                                  bool // of before a restore

	ckBent
}

// ckBent is what mutants leave out, or bend.
type ckBent struct {
	tokenOnly, tokenPerCall, ownIsOld, ownIsStored, sameSeq, noDoubt, noGuard, noFence, oldBase bool
}

func ckName(w int) string { return string(rune('A' + w)) }

// send puts a commit on its way, in the order of their senders.
func (s *ckState) send(c ckCommit) {
	if s.Flights[ckFlights-1].By != 0 {
		s.Broken.is(tooSmall)
		return
	}
	i := ckFlights - 1
	for ; i > 0 && (s.Flights[i-1].By == 0 || s.Flights[i-1].By > c.By); i-- {
		s.Flights[i] = s.Flights[i-1]
	}
	s.Flights[i] = c
}

// forget takes away what nobody waits for and can never be applied: versions
// only grow, unless something happens to the store.
func (m *checkpoint) forget(s *ckState) {
	if m.restores+m.deletions > 0 || m.tokenOnly {
		return
	}
	kept := 0
	for i, c := range s.Flights {
		s.Flights[i] = ckCommit{}
		if c.Waited || c.By != 0 && c.Base.Version == s.Store.Doc.Version {
			s.Flights[kept] = c
			kept++
		}
	}
}

// sendClaim is one attempt of Checkpoint.claim, with a token of its own.
func (m *checkpoint) sendClaim(s *ckState, w int) {
	a, read := &s.Workers[w], s.Store.Doc
	if a.At == ckIdle || !m.tokenPerCall {
		a.Tries++
	}
	a.At, a.Token = ckClaiming, uint8(w)<<4|a.Tries
	read.Generation = s.Gen
	put := ckDocument{There: true, Token: a.Token, Value: read.Value}
	s.send(ckCommit{By: uint8(w) + 1, Waited: true, Claim: true, Base: read, Doc: put, Guard: a.Guard})
}

// sendSave is one attempt of Checkpoint.save, on the document as last known.
func (m *checkpoint) sendSave(s *ckState, w int) {
	a := &s.Workers[w]
	a.At = ckSaving
	put := ckDocument{There: true, Token: a.Token, Seq: a.Seq, Value: a.Present}
	s.send(ckCommit{By: uint8(w) + 1, Waited: true, Base: a.Known, Doc: put, Guard: a.Guard})
}

// claimed is Claim that returns with the document as it stands.
func (m *checkpoint) claimed(s *ckState, w int) {
	a, doc := &s.Workers[w], s.Store.Doc
	doc.Generation = s.Gen
	a.At, a.Known, a.Seq, a.Settled = ckOwns, doc, 0, true
	if doc.Value != s.Best && s.Open&(1<<doc.Value) == 0 {
		s.Broken.is(ckClaimReturns)
	}
	s.Best, s.Open, s.Claimed = doc.Value, 0, uint8(w)+1
}

// saved is Save that returns nil.
func (m *checkpoint) saved(s *ckState, w int) {
	a, doc := &s.Workers[w], s.Store.Doc
	doc.Generation = s.Gen
	a.At, a.Known, a.Doubt, a.Settled = ckOwns, doc, false, true
	if s.Claimed != uint8(w)+1 {
		s.Broken.is(ckEarlierClaim)
	}
	if doc.Value != a.Present {
		s.Broken.is(ckAcknowledged)
	}
	s.Best, s.Open = a.Present, 0
}

// failed is Save that returns an error.
func (m *checkpoint) failed(s *ckState, w int) {
	a := &s.Workers[w]
	if !a.Doubt || m.noDoubt {
		s.Denied |= 1 << a.Present
	}
	a.Doubt, a.Settled = false, false
}

// next is every step of the protocol and its surroundings.
func (m *checkpoint) next(s ckState, emit func(Step, ckState)) {
	took := func(step Step, n ckState) {
		m.forget(&n)
		emit(step, n)
	}
	for w := range s.Workers {
		m.work(s, w, took)
	}
	for i := range s.Flights {
		if s.Flights[i].By != 0 {
			m.arrive(s, i, took)
		}
	}
	m.disasters(s, took)
}

func (m *checkpoint) work(s ckState, w int, took func(Step, ckState)) {
	who := ckName(w)
	step := func(what string, change func(*ckState, *ckWorker)) {
		n := s
		change(&n, &n.Workers[w])
		took(Step{Who: who, What: what}, n)
	}
	a := s.Workers[w]
	switch a.At {
	case ckIdle, ckFenced, ckOwns:
		if a.Claims < m.claims[w] && (!m.guards || int(s.Office)%ckWorkers == w) {
			step("Claim: read the document, send the claim", func(n *ckState, a *ckWorker) {
				a.Claims++
				a.At, a.Guard = ckIdle, n.Office
				m.sendClaim(n, w)
			})
		}
	case ckReclaim:
		doc := s.Store.Doc
		if doc.There && doc.Token == a.Token {
			step("claim: the document has the own token, it is made", func(n *ckState, a *ckWorker) {
				m.claimed(n, w)
			})
			break
		}
		step("claim: the document has another token, send one with a fresh token", func(n *ckState, a *ckWorker) {
			m.sendClaim(n, w)
		})
	case ckResave:
		m.resave(s, w, step)
	}
	if a.At == ckOwns && a.Saves < m.saves {
		step("Save: send it on the document as last known", func(n *ckState, a *ckWorker) {
			a.Saves++
			if !m.sameSeq || a.Settled {
				a.Seq++
			}
			a.Present = uint8(w)*ckSaves + a.Saves
			n.Open |= 1 << a.Present
			m.sendSave(n, w)
		})
	}
	m.givesUp(s, w, took)
}

// resave is what Checkpoint.save decides by what it reads.
func (m *checkpoint) resave(s ckState, w int, step func(string, func(*ckState, *ckWorker))) {
	a, doc := s.Workers[w], s.Store.Doc
	own := doc.There && doc.Token == a.Token && doc.Seq <= a.Seq || m.noFence && doc.There
	switch {
	case !own:
		step("save: the document is another's, ErrFenced", func(n *ckState, a *ckWorker) {
			a.At = ckFenced
			m.failed(n, w)
		})
	case doc.Seq == a.Seq && !m.ownIsOld || m.ownIsStored:
		step("save: the document has the own token and this seq, it is stored", func(n *ckState, a *ckWorker) {
			m.saved(n, w)
		})
	default:
		step("save: the document has an older seq, send the same seq on it", func(n *ckState, a *ckWorker) {
			a.Known = n.Store.Doc
			a.Known.Generation = n.Gen
			m.sendSave(n, w)
		})
	}
}

// givesUp is a reply that is not waited for any longer: by the call's own
// deadline, and then the library reads, or by the caller's context, and then
// the call ends. The commit may land at any later time.
func (m *checkpoint) givesUp(s ckState, w int, took func(Step, ckState)) {
	a := s.Workers[w]
	waits := a.At == ckClaiming || a.At == ckSaving
	reads := a.At == ckReclaim || a.At == ckResave
	leave := func(n *ckState) {
		for i := range n.Flights {
			if int(n.Flights[i].By) == w+1 {
				n.Flights[i].Waited = false
			}
		}
		n.Workers[w].Doubt = n.Workers[w].Doubt || a.At == ckSaving
	}
	if waits && s.GiveUps > 0 {
		n := s
		n.GiveUps--
		leave(&n)
		n.Workers[w].At++ // ckReclaim, ckResave
		took(Step{ckName(w), "no reply in time, ErrIndeterminate: it may land later", true}, n)
	}
	if (waits || reads) && s.CtxEnds > 0 {
		n := s
		n.CtxEnds--
		leave(&n)
		if a.At == ckClaiming || a.At == ckReclaim {
			n.Workers[w].At = ckIdle
		} else {
			n.Workers[w].At = ckOwns
			m.failed(&n, w)
		}
		took(Step{ckName(w), "the caller's context ends, the call returns", true}, n)
	}
}

// arrive is a commit that reaches the store.
func (m *checkpoint) arrive(s ckState, i int, took func(Step, ckState)) {
	c, n := s.Flights[i], s
	copy(n.Flights[i:], n.Flights[i+1:])
	n.Flights[ckFlights-1] = ckCommit{}
	w := int(c.By) - 1
	now := s.Store.Doc
	stands := now.There == c.Base.There && (!now.There || now.Version == c.Base.Version)
	if m.tokenOnly && !c.Claim {
		stands = now.There && now.Token == c.Doc.Token
	}
	if c.Base.Generation != s.Gen && !m.oldBase && !m.revisions {
		stands = false // the driver refuses it
	}
	guarded := c.Guard == s.Office
	what := "its save"
	if c.Claim {
		what = "its claim"
	}
	if !stands || !guarded && !m.noGuard {
		if c.Waited {
			a := &n.Workers[w]
			if a.At++; !guarded {
				// Store.Commit looks at the guards itself: ErrFenced.
				a.At = ckFenced
				if !c.Claim {
					m.failed(&n, w)
				}
			}
		}
		took(Step{ckName(w), what + " arrives and is refused", !c.Waited}, n)
		return
	}
	if !guarded {
		n.Broken.is(ckGuarded)
	}
	n.Store.Doc = c.Doc
	n.Revision++
	n.Store.Doc.Version = n.Revision
	if !m.revisions {
		n.Store.Doc.Version = now.Version + 1
	}
	if !c.Claim {
		bit := uint8(1) << c.Doc.Value
		if s.Store.Stored&bit != 0 {
			n.Broken.is(ckStoredOnce)
		}
		n.Store.Stored |= bit
		if s.Denied&bit != 0 {
			n.Broken.is(ckSurelyRefused)
		}
	}
	if n.Best != 0 && c.Doc.Value != n.Best && n.Open&(1<<c.Doc.Value) == 0 {
		n.Broken.is(ckNothingOnTop)
	}
	switch {
	case c.Waited && c.Claim:
		m.claimed(&n, w)
	case c.Waited:
		m.saved(&n, w)
	}
	took(Step{ckName(w), what + " lands", !c.Waited}, n)
}

// settled says that every call has returned.
func (s ckState) settled() bool {
	for _, a := range s.Workers {
		if a.At != ckIdle && a.At != ckOwns && a.At != ckFenced {
			return false
		}
	}
	return true
}

func (m *checkpoint) run(limit int) Result {
	return Search(Protocol[ckState]{
		Init:   ckState{GiveUps: m.giveUps, CtxEnds: m.ctxEnds, Restores: m.restores, Deletions: m.deletions, Moves: m.moves},
		Next:   m.next,
		Broken: func(s ckState) string { return s.Broken.String() },
		Good:   ckState.settled,
	}, limit)
}
