package model

// The model of counter.Counter, rule by rule:
//
//	work, look, decide    counter/worker.go settle, look, decide
//	send                  counter/worker.go commit; document.go with
//	acknowledge, finish   counter/worker.go finish
//	work (giveUp)         counter/counter.go giveUp
//	arrive                backend/driver Commit: compare, then put
//	deleted               internal/removable Delete, as it is applied: what is created next has another key
//	disasters             a restore, with the generation of clause C12, and a document deleted by hand
//
// Turns (counter/turn.go) are not in the model: they decide when a commit is
// sent, and here it may be sent at any time.
//
// A read and the commit that is made of it are one step: the store sees the
// commit only when it arrives. Each add adds a power of two of its own, so that
// a value says which adds are in it.

const (
	coWriters = 3
	coAdds    = 6 // of all writers
	coFlights = 7
	coEntries = 2 // the most that a document keeps in the model
)

// The states of a writer.
const (
	coIdle   = iota // its next add has not begun
	coAwaits        // the reply to a commit
	coLooks         // has to read: what became of it, or only what to send it on
	coDone
)

// Of docs/guarantees.md, "Counters".
var (
	coAcknowledged = says("an Add that was acknowledged is applied once, and its result is the value right after it")
	coOnce         = says("an Add with ErrIndeterminate is applied once at most")
	coClosed       = says("an Add with ErrIndeterminate is never applied after a later one of the same Counter was acknowledged")
	coDenied       = says("an Add that failed with anything else is never applied")
	coSum          = says("the value is the sum of what was applied")
	coDeleted      = says("an Add that was given up before a Delete is never applied after it")
	coNeedless     = says("what became of a commit is known while nobody's entry was pushed out")
)

type coEntry struct{ Writer, Seq, Result uint8 }

// coDocument is the document of a counter.
type coDocument struct {
	There      bool
	Key        uint8 // of the document, or of the one that would be created
	Version    uint8
	Generation uint8 // of the driver that read it: C12
	Value      uint8
	Dropped    uint8
	Recent     [coEntries]coEntry
}

type coStore struct {
	Doc     coDocument
	Applied uint8         // ghost: adds, as a set
	Results [coAdds]uint8 // ghost: the value after each
}

// coCommit is a commit on its way.
type coCommit struct {
	By     uint8 // its writer + 1; 0 if there is none
	Waited bool
	Add    uint8
	Base   coDocument // only what is compared
	Doc    coDocument
}

// coWriter is one Counter.
type coWriter struct {
	At        uint8
	Life      uint8 // a crash ends one
	Seq       uint8
	Adds      uint8 // begun before the present one
	First     uint8 // of this life
	Known     bool  // Base is
	Base      coDocument
	Doubt     bool // a commit of the present add was in doubt
	Unsettled bool // what became of the last is to be read
}

type coState struct {
	Store, Snapshot coStore
	Snapped         bool
	Revision        uint8
	Gen             uint8
	Writers         [coWriters]coWriter
	Flights         [coFlights]coCommit

	RepliesLost, CtxEnds, Crashes, Restores, Deletions, Deletes uint8 // faults that may yet be

	// Ghosts, sets of adds.
	Acknowledged uint8
	Denied       uint8
	Closed       uint8
	Deleted      uint8 // applied to a counter that was deleted
	GivenUp      uint8 // returned before the last Delete
	Broken       sentence
}

// counter is a configuration.
type counter struct {
	writers, adds, entries                             uint8
	repliesLost, ctxEnds, crashes, restores, deletions uint8
	deletes                                            uint8 // calls of Delete
	revisions                                          bool  // versions never repeat, see checkpoint
	lateCommits                                        bool  // of before a restore

	coBent
}

// coBent is what mutants leave out, or bend.
type coBent struct {
	noLook, nextSeq, noDropped, doubtForgotten, sameSeq, denies, oldBase, sameKey, keyIgnored bool
}

// writer names one life of a Counter in the document.
func (a *coWriter) writer(w int) uint8 { return uint8(w)<<3 | a.Life + 1 }

// add is the number of the writer's present add.
func (m *counter) add(s *coState, w int) uint8 { return uint8(w)*m.adds + s.Writers[w].Adds }

// by is counterDocument.by.
func (d *coDocument) by(writer uint8) (coEntry, bool) {
	for _, e := range d.Recent {
		if e.Writer == writer && writer != 0 {
			return e, true
		}
	}
	return coEntry{}, false
}

// with is counterDocument.with: the entry in front, others pushed out.
func (m *counter) with(d coDocument, e coEntry) coDocument {
	next := coDocument{There: true, Key: d.Key, Value: e.Result, Dropped: d.Dropped}
	next.Recent[0] = e
	kept := uint8(1)
	for _, other := range d.Recent {
		switch {
		case other.Writer == e.Writer || other.Writer == 0:
		case kept < m.entries:
			next.Recent[kept] = other
			kept++
		default:
			next.Dropped++
		}
	}
	return next
}

// send is one attempt of the present add, on the base.
func (m *counter) send(s *coState, w int) {
	a := &s.Writers[w]
	add := m.add(s, w)
	doc := m.with(a.Base, coEntry{a.writer(w), a.Seq, a.Base.Value + 1<<add})
	a.At = coAwaits
	base := coDocument{There: a.Base.There, Key: a.Base.Key, Version: a.Base.Version, Generation: a.Base.Generation}
	c := coCommit{By: uint8(w) + 1, Waited: true, Add: add, Base: base, Doc: doc}
	if s.Flights[coFlights-1].By != 0 {
		s.Broken.is(tooSmall)
		return
	}
	i := coFlights - 1
	for ; i > 0 && (s.Flights[i-1].By == 0 || s.Flights[i-1].By > c.By); i-- {
		s.Flights[i] = s.Flights[i-1]
	}
	s.Flights[i] = c
}

// look takes what is read for the base. It does not decide anything yet.
func (s *coState) look(w int) (before coDocument) {
	a := &s.Writers[w]
	before = a.Base
	a.Base, a.Known = s.Store.Doc, true
	a.Base.Generation = s.Gen
	return before
}

// decide is decide: what became of the commit on the base before.
func (m *counter) decide(s *coState, w int, before coDocument) {
	a, now := &s.Writers[w], &s.Writers[w].Base
	a.Unsettled = false
	own, found := now.by(a.writer(w))
	switch {
	case m.noLook || m.nextSeq:
		if m.nextSeq {
			a.Seq++
		}
		m.send(s, w)
	case before.Key != now.Key && !m.keyIgnored:
		m.finish(s, w)
	case found && own.Seq == a.Seq:
		m.acknowledge(s, w, own.Result)
	case before.There && !now.There:
		m.finish(s, w)
	case found && own.Seq < a.Seq, !found && (now.Dropped == before.Dropped || m.noDropped):
		m.send(s, w)
	default:
		if now.There && now.Dropped == before.Dropped {
			s.Broken.is(coNeedless)
		}
		m.finish(s, w)
	}
}

// acknowledge is Add that returns a value.
func (m *counter) acknowledge(s *coState, w int, result uint8) {
	add := m.add(s, w)
	bit := uint8(1) << add
	s.Acknowledged |= bit
	if s.Store.Applied&bit == 0 || s.Store.Results[add] != result {
		s.Broken.is(coAcknowledged)
	}
	for i := s.Writers[w].First; i < s.Writers[w].Adds; i++ {
		s.Closed |= 1 << (uint8(w)*m.adds + i)
	}
	m.finish(s, w)
}

// finish is the end of an add: the next takes the next number.
func (m *counter) finish(s *coState, w int) {
	a := &s.Writers[w]
	acknowledged := s.Acknowledged&(1<<m.add(s, w)) != 0
	a.At, a.Doubt, a.Unsettled = coIdle, false, false
	a.Adds++
	if !m.sameSeq || acknowledged {
		a.Seq++
	}
	if a.Adds == m.adds {
		*a = coWriter{At: coDone, Adds: a.Adds}
	}
}

// forget takes away what nobody waits for and can never be applied: versions
// only grow, unless something happens to the store.
func (m *counter) forget(s *coState) {
	if m.restores+m.deletions+m.deletes > 0 {
		return
	}
	kept := 0
	for i, c := range s.Flights {
		s.Flights[i] = coCommit{}
		if c.Waited || c.By != 0 && c.Base.Version == s.Store.Doc.Version {
			s.Flights[kept] = c
			kept++
		}
	}
}

func (m *counter) next(s coState, emit func(Step, coState)) {
	took := func(step Step, n coState) {
		m.forget(&n)
		emit(step, n)
	}
	for w := range m.writers {
		m.work(s, int(w), took)
	}
	for i := range s.Flights {
		if s.Flights[i].By != 0 {
			m.arrive(s, i, took)
		}
	}
	m.disasters(s, took)
}

func (m *counter) work(s coState, w int, took func(Step, coState)) {
	step := func(what string, fault bool, change func(*coState, *coWriter)) {
		n := s
		change(&n, &n.Writers[w])
		took(Step{ckName(w), what, fault}, n)
	}
	a := s.Writers[w]
	switch a.At {
	case coIdle:
		step("Add: read the document, send", false, func(s *coState, _ *coWriter) {
			s.look(w)
			m.send(s, w)
		})
		if a.Known {
			step("Add: send on the base that is known", false, func(s *coState, _ *coWriter) { m.send(s, w) })
		}
	case coLooks:
		if a.Unsettled {
			step("look: decide what became of the commit", false, func(s *coState, _ *coWriter) { m.decide(s, w, s.look(w)) })
			break
		}
		step("look: surely not applied, send on what is read", false, func(s *coState, _ *coWriter) {
			s.look(w)
			m.send(s, w)
		})
	}
	if a.At == coAwaits && s.RepliesLost > 0 {
		step("no reply in time, ErrIndeterminate: it may land later", true, func(s *coState, a *coWriter) {
			s.RepliesLost--
			s.shelve(w)
			a.At, a.Doubt, a.Unsettled = coLooks, true, true
		})
	}
	if (a.At == coAwaits || a.At == coLooks) && s.CtxEnds > 0 {
		step("giveUp: the caller's context ends, the next add may begin", true, func(s *coState, a *coWriter) {
			s.CtxEnds--
			s.shelve(w)
			if a.At != coAwaits && !a.Doubt || m.denies {
				s.Denied |= 1 << m.add(s, w)
			}
			m.finish(s, w)
		})
	}
	if a.At != coDone && s.Crashes > 0 {
		step("crashes: another Counter goes on", true, func(s *coState, a *coWriter) {
			s.Crashes--
			s.shelve(w)
			*a = coWriter{At: a.At, Life: a.Life + 1, Adds: a.Adds}
			if a.At != coIdle {
				m.finish(s, w)
				a.Seq = 0
			}
			a.First = a.Adds
		})
	}
}

func (s *coState) shelve(w int) {
	for i := range s.Flights {
		if int(s.Flights[i].By) == w+1 {
			s.Flights[i].Waited = false
		}
	}
}

// arrive is a commit that reaches the store.
func (m *counter) arrive(s coState, i int, took func(Step, coState)) {
	c, n := s.Flights[i], s
	copy(n.Flights[i:], n.Flights[i+1:])
	n.Flights[coFlights-1] = coCommit{}
	w := int(c.By) - 1
	a, now := &n.Writers[w], s.Store.Doc
	stands := now.There == c.Base.There && (!now.There || now.Version == c.Base.Version)
	stands = stands && (now.Key == c.Base.Key || m.sameKey)
	if c.Base.Generation != s.Gen && !m.oldBase && !m.revisions {
		stands = false // the driver refuses it
	}
	if !stands {
		if c.Waited {
			a.At = coLooks
			if m.doubtForgotten {
				a.Doubt = false
			}
			a.Unsettled = a.Doubt
		}
		took(Step{ckName(w), "its commit arrives and is refused", !c.Waited}, n)
		return
	}
	bit := uint8(1) << c.Add
	switch {
	case (s.Store.Applied|s.Deleted)&bit != 0:
		n.Broken.is(coOnce)
	case s.GivenUp&bit != 0:
		n.Broken.is(coDeleted)
	case s.Denied&bit != 0:
		n.Broken.is(coDenied)
	case s.Closed&bit != 0 && s.Acknowledged&bit == 0:
		n.Broken.is(coClosed)
	}
	n.Revision++
	n.Store.Doc = c.Doc
	n.Store.Doc.Key = now.Key
	n.Store.Doc.Version = n.Revision
	if !m.revisions {
		n.Store.Doc.Version = now.Version + 1
	}
	n.Store.Applied |= bit
	n.Store.Results[c.Add] = c.Doc.Value
	if n.Store.Applied != c.Doc.Value {
		n.Broken.is(coSum)
	}
	if c.Waited {
		n.look(w)
		m.acknowledge(&n, w, c.Doc.Value)
	}
	took(Step{ckName(w), "its commit lands", !c.Waited}, n)
}

// disasters are what happens to the store.
func (m *counter) disasters(s coState, took func(Step, coState)) {
	if s.Deletes > 0 && s.Store.Doc.There {
		n := s
		n.Deletes--
		m.deleted(&n)
		took(Step{"D", "Delete is applied", true}, n)
	}
	if s.Deletions > 0 && s.Store.Doc.There {
		n := s
		n.Deletions--
		n.Store = coStore{}
		n.Acknowledged &= n.Store.Applied
		took(Step{"hand", "the document is deleted", true}, n)
	}
	switch {
	case s.Restores == 0:
	case !s.Snapped:
		n := s
		n.Snapshot, n.Snapped = s.Store, true
		took(Step{"store", "a snapshot is taken", true}, n)
	case s.Snapshot != s.Store:
		n := s
		n.Restores--
		n.Store, n.Snapshot, n.Snapped = s.Snapshot, coStore{}, false
		n.Gen++
		n.Acknowledged &= n.Store.Applied
		if !m.lateCommits {
			for i := range n.Flights {
				if c := n.Flights[i]; c.By != 0 && c.Waited {
					a := &n.Writers[c.By-1]
					a.At, a.Doubt, a.Unsettled = coLooks, true, true
				}
				n.Flights[i] = coCommit{}
			}
		}
		took(Step{"store", "the snapshot is restored", true}, n)
	}
}

// deleted is Delete, as it is applied.
func (m *counter) deleted(s *coState) {
	s.Deleted |= s.Store.Applied
	s.GivenUp = 0
	for w := range m.writers {
		for i := range s.Writers[w].Adds {
			s.GivenUp |= 1 << (w*m.adds + i)
		}
	}
	s.GivenUp &^= s.Deleted
	s.Store = coStore{Doc: coDocument{Key: s.Store.Doc.Key + 1}}
	s.Acknowledged = 0
}

func (m *counter) run(limit int) Result {
	return Search(Protocol[coState]{
		Init:   coState{RepliesLost: m.repliesLost, CtxEnds: m.ctxEnds, Crashes: m.crashes, Restores: m.restores, Deletions: m.deletions, Deletes: m.deletes},
		Next:   m.next,
		Broken: func(s coState) string { return s.Broken.String() },
		Good: func(s coState) bool {
			for w := range m.writers {
				if s.Writers[w].At != coDone {
					return false
				}
			}
			return true
		},
	}, limit)
}
