package model

// elStep takes a step of a candidate.
type elStep func(what string, change func(s *elState, c *elCandidate))

// next is every step that can be taken.
func (m *election) next(s elState, emit func(Step, elState)) {
	took := func(step Step, n elState) {
		m.forget(&n)
		emit(step, n)
	}
	for w := range s.C {
		m.candidate(s, w, took)
	}
	for i := range s.Flights {
		if s.Flights[i].Kind != 0 {
			m.arrive(s, i, took)
		}
	}
	m.sessions(s, took)
	m.disasters(s, took)
}

// forget takes away what nobody waits for and can never be applied: what needs
// a session that is dead, unless a restore may bring that back.
func (m *election) forget(s *elState) {
	if m.faults.Restored > 0 {
		return
	}
	kept := 0
	for i, c := range s.Flights {
		s.Flights[i] = elCommit{}
		dead := c.Kind == elJoin || c.Kind == elTake
		dead = dead && !s.Store.alive(c.By, c.Session)
		if c.Kind != 0 && (c.Waited || !dead) {
			s.Flights[kept] = c
			kept++
		}
	}
}

// send puts a commit on its way; its sender awaits the reply.
func (s *elState) send(w int, c elCommit) {
	c.By, c.Waited = uint8(w)+1, true
	s.C[w].At = elAwaits
	if s.Flights[elFlights-1].Kind != 0 {
		s.Broken.is(tooSmall)
		return
	}
	i := elFlights - 1
	for ; i > 0 && (s.Flights[i-1].Kind == 0 || s.Flights[i-1].By > c.By); i-- {
		s.Flights[i] = s.Flights[i-1]
	}
	s.Flights[i] = c
}

// shelve is a reply that nobody waits for any longer: the commit may land yet.
func (s *elState) shelve(w int) {
	for i := range s.Flights {
		if int(s.Flights[i].By) == w+1 {
			s.Flights[i].Waited = false
		}
	}
}

func (c *elCandidate) see(t elTenure) {
	if t.Number > c.Seen.Number {
		c.Seen = t
	}
}

// look begins a round of reads.
func (c *elCandidate) look(mode uint8) {
	c.At, c.Mode, c.Target, c.Late, c.Pending = elRead, mode, 0, false, 0
	c.Ahead, c.Office, c.Queued = elEntry{}, elTenure{}, false
	c.forget()
}

// forget forgets what was read.
func (c *elCandidate) forget() {
	c.Queue, c.Term, c.Marks = [elQueue]elEntry{}, elTerm{}, [elMarks]elTenure{}
}

// over is the end of a tenure or of a campaign: the next one begins, or none.
func (c *elCandidate) over() {
	at := uint8(elStart)
	if c.Leaves {
		at = elOut
	}
	c.look(elCampaigns)
	c.At, c.Leaves, c.Leading, c.Held, c.Nonce, c.Under = at, false, elTenure{}, 0, 0, 0
}

func (m *election) candidate(s elState, w int, took func(Step, elState)) {
	c := s.C[w]
	step := func(what string, change func(*elState, *elCandidate)) {
		n := s
		change(&n, &n.C[w])
		took(Step{Who: ckName(w), What: what}, n)
	}
	if !c.Up {
		return
	}
	if c.At != elOut && c.At != elStart && !(c.Trusted && c.Session == c.Under) {
		step("the session is over: what stands under it goes with it", func(s *elState, c *elCandidate) {
			s.shelve(w)
			c.over()
		})
		return
	}
	who := uint8(w) + 1
	switch c.At {
	case elOut:
		if !m.noSweep && c.Trusted && s.stray(w, c.Session, 0) {
			step("sweeper: look", func(_ *elState, c *elCandidate) {
				c.look(elSweeps)
				c.Under, c.Leaves = c.Session, true
			})
		}
	case elStart:
		if c.Trusted {
			step("join: create the queue entry", func(s *elState, c *elCandidate) {
				c.Nonces++
				c.Nonce, c.Under = c.Nonces, c.Session
				s.send(w, elCommit{Kind: elJoin, Nonce: c.Nonce, Session: c.Session})
			})
		}
	case elRead, elRead2, elRead3, elRead4:
		m.reads(s, w, step)
	case elWait:
		gone := c.Ahead.Who != 0 && s.Store.place(c.Ahead.Who, c.Ahead.Nonce) < 0 ||
			c.Ahead.Who == 0 && s.Store.Office.Tenure != c.Office
		if gone || s.Store.place(who, c.Nonce) < 0 || s.stray(w, c.Session, c.Nonce) {
			step("wait: what is ahead has gone, or the own entry, or it is time to look again", func(_ *elState, c *elCandidate) {
				c.look(elCampaigns)
			})
		}
	case elPause:
		if c.Pending == 0 {
			step("pause is over: take", func(s *elState, _ *elCandidate) {
				m.sendTake(s, w)
			})
		}
	case elLeads:
		if !m.stands(&s, w) {
			step("watch: the office or the mark is gone, or a higher term is known; step down", func(s *elState, c *elCandidate) {
				if s.Store.Office != (elOffice{}) && s.Store.marked(c.Leading) {
					c.see(s.Store.Term.Tenure)
				}
				c.look(elClears)
				c.Target = c.Nonce
			})
		}
	}
	m.pauses(s, w, took)
}

// stands is Leadership.compare.
func (m *election) stands(s *elState, w int) bool {
	c := &s.C[w]
	return s.Store.Office.Tenure == c.Leading && (s.Store.marked(c.Leading) || m.markNotWatched) &&
		s.Store.Term.Tenure.Number <= c.Leading.Number
}

// stray reports whether something stands under the session that belongs to no
// campaign but keep.
func (s *elState) stray(w int, session, keep uint8) bool {
	for _, e := range s.Store.Queue {
		if int(e.Who) == w+1 && e.Session == session && e.Nonce != keep {
			return true
		}
	}
	o := s.Store.Office
	return int(o.Tenure.Who) == w+1 && o.Session == session && o.Tenure.Nonce != keep
}

// reads is a round of reads: each shows what is there when it is made.
func (m *election) reads(s elState, w int, step elStep) {
	queue := func(s *elState, c *elCandidate) { c.Queue = s.Store.Queue }
	term := func(s *elState, c *elCandidate) { c.Term = s.Store.Term }
	marks := func(s *elState, c *elCandidate) { c.Marks = s.Store.Marks }
	decide := func(s *elState, c *elCandidate) {
		c.see(c.Term.Tenure)
		if !m.oldMarks {
			c.see(c.Marks[0])
		}
		c.see(s.Store.Office.Tenure)
		m.decide(s, w)
	}
	read := func(what string, then func(*elState, *elCandidate), at uint8) {
		step("read "+what, func(s *elState, c *elCandidate) {
			c.At = at
			then(s, c)
		})
	}
	switch {
	case m.atOnce:
		step("read queue, term, marks and office, decide", func(s *elState, c *elCandidate) {
			queue(s, c)
			term(s, c)
			marks(s, c)
			decide(s, c)
		})
	case s.C[w].At == elRead:
		read("the queue", queue, elRead2)
	case s.C[w].At == elRead2:
		read("the term", term, elRead3)
	case s.C[w].At == elRead3:
		read("the marks", marks, elRead4)
	default:
		read("the office, decide", decide, elRead4)
	}
}

// decide does the first thing that a round of reads calls for. What it still
// needs of them afterwards it keeps.
func (m *election) decide(s *elState, w int) {
	m.decides(s, w)
	c := &s.C[w]
	c.Queue = [elQueue]elEntry{}
	if c.At != elPause && c.Office == (elTenure{}) {
		c.forget()
	}
	if c.At == elWait {
		c.forget()
	}
}

func (m *election) decides(s *elState, w int) {
	c, office := &s.C[w], s.Store.Office
	switch c.Mode {
	case elVacates:
		if c.marked(c.Leading) && office.Tenure == c.Leading && c.Term.Tenure == c.Leading {
			m.sendRelease(s, w, c.Term.Version, c.place(uint8(w)+1, c.Nonce) >= 0)
			return
		}
		m.clear(s, w, c.Nonce)
		return
	case elClears:
		m.clear(s, w, c.Nonce)
		return
	case elSweeps:
		if nonce, ok := s.strayOf(w, 0); ok {
			m.clear(s, w, nonce)
			return
		}
		c.over()
		return
	}
	// round
	if c.Seen.Number > c.Term.Tenure.Number && !m.noRaise {
		s.send(w, elCommit{Kind: elRaise, Tenure: c.Seen, Term: c.Term.Version})
		return
	}
	if nonce, ok := s.strayOf(w, c.Nonce); ok && !m.noSweep {
		m.clear(s, w, nonce)
		return
	}
	place := c.place(uint8(w)+1, c.Nonce)
	own := int(office.Tenure.Who) == w+1 && office.Tenure.Nonce == c.Nonce && office.Session == c.Under
	switch {
	case place < 0:
		m.clear(s, w, c.Nonce)
	case place > 0:
		c.At, c.Ahead = elWait, c.Queue[place-1]
	case c.Marks[0] == elTenure{} && !m.noBase:
		c.Nonces++
		base := elTenure{max(c.Seen.Number, 1), uint8(w) + 1 + elNobody, c.Nonces}
		s.send(w, elCommit{Kind: elBase, Create: base})
	case office != elOffice{} && !own:
		c.At, c.Office = elWait, office.Tenure
	case office != elOffice{}: // officeTaken
		if c.Marks[0] != office.Tenure || c.Seen != office.Tenure {
			m.clear(s, w, c.Nonce)
			return
		}
		m.lead(s, w, office.Tenure, c.Term.Version)
	case m.strict && !m.noPause && !(c.Term.Version != 0 && c.Term.Clean && c.Term.Tenure.Number >= c.Seen.Number):
		c.At, c.Pending = elPause, 0
		for i := range s.C {
			if i != w && s.C[i].Trusted {
				c.Pending |= 1 << i
			}
		}
	default:
		m.sendTake(s, w)
	}
}

// place is where the queue as read has an entry.
func (c *elCandidate) place(who, nonce uint8) int {
	read := elStore{Queue: c.Queue}
	return read.place(who, nonce)
}

// marked reports whether a mark was read.
func (c *elCandidate) marked(t elTenure) bool {
	for _, m := range c.Marks {
		if m == t {
			return true
		}
	}
	return false
}

// strayOf returns a nonce of the own session that belongs to no campaign but
// keep. The office goes before the queue entry.
func (s *elState) strayOf(w int, keep uint8) (uint8, bool) {
	c, o := &s.C[w], s.Store.Office
	if int(o.Tenure.Who) == w+1 && o.Session == c.Under && o.Tenure.Nonce != keep {
		return o.Tenure.Nonce, true
	}
	for _, e := range c.Queue {
		if int(e.Who) == w+1 && e.Session == c.Under && e.Nonce != keep {
			return e.Nonce, true
		}
	}
	return 0, false
}

// sendTake is take: the marks and the term are named as they were read.
func (m *election) sendTake(s *elState, w int) {
	c := &s.C[w]
	mine := elTenure{max(c.Seen.Number, c.Term.Tenure.Number) + 1, uint8(w) + 1, c.Nonce}
	take := elCommit{Kind: elTake, Nonce: c.Nonce, Session: c.Under, Tenure: mine, Term: c.Term.Version, Marks: c.Marks}
	if m.oneMark {
		take.Marks = [elMarks]elTenure{c.Marks[0]}
	}
	s.send(w, take)
	c.Late, c.Pending = false, 0
}

func (m *election) lead(s *elState, w int, mine elTenure, term uint8) {
	c := &s.C[w]
	c.look(elCampaigns)
	c.At, c.Leading, c.Held = elLeads, mine, term
}

func (m *election) sendRelease(s *elState, w int, term uint8, queued bool) {
	c := &s.C[w]
	s.send(w, elCommit{Kind: elRelease, Nonce: c.Nonce, Queued: queued, Tenure: c.Leading, Term: term})
}

// clear deletes the office of a campaign, once its number is secure, on
// conditions that hold for no other tenure; lastly the queue entry.
func (m *election) clear(s *elState, w int, nonce uint8) {
	c, office := &s.C[w], s.Store.Office
	queued := c.place(uint8(w)+1, nonce) >= 0
	c.Target = nonce
	if int(office.Tenure.Who) != w+1 || office.Tenure.Nonce != nonce || office.Session != c.Under {
		s.send(w, elCommit{Kind: elClearEntry, Nonce: nonce})
		return
	}
	raise := c.Seen.Number > c.Term.Tenure.Number
	marked := c.Marks[0].Number >= c.Seen.Number
	if (raise || !marked) && !m.noSecure {
		secure := elCommit{Kind: elSecure, Nonce: nonce, Tenure: c.Seen, Term: c.Term.Version}
		if !marked && !m.raiseOnly {
			c.Nonces++
			secure.Create = elTenure{c.Seen.Number, uint8(w) + 1 + elNobody, c.Nonces}
		}
		if raise || secure.Create != (elTenure{}) {
			s.send(w, secure)
			// What clear does after it is by the same reads.
			c.Office, c.Queued = office.Tenure, queued
			return
		}
	}
	m.clearOffice(s, w, nonce, office.Tenure, queued)
}

func (m *election) clearOffice(s *elState, w int, nonce uint8, office elTenure, queued bool) {
	c := &s.C[w]
	kind := uint8(elClearOffice)
	if c.marked(office) || m.clearBlindly {
		kind = elClearByMark
	}
	s.send(w, elCommit{Kind: kind, Nonce: nonce, Queued: queued && !m.clearBlindly, Tenure: office})
}

// cleared is the end of clear.
func (m *election) cleared(c *elCandidate) {
	switch {
	case c.Mode == elSweeps:
		c.look(elSweeps)
	case c.Mode == elCampaigns && c.Target != c.Nonce:
		c.look(elCampaigns)
	default: // rename and rejoin, or the end of the tenure
		c.over()
	}
}

// replied is what follows the reply to a commit.
func (m *election) replied(s *elState, w int, sent *elCommit, applied bool) {
	c := &s.C[w]
	switch sent.Kind {
	case elTake:
		if applied && !c.Late {
			c.see(sent.Tenure)
			m.lead(s, w, sent.Tenure, s.Store.Term.Version)
			return
		}
		c.look(elCampaigns)
	case elRelease:
		if applied {
			c.over()
			return
		}
		c.look(c.Mode)
	case elSecure:
		if !applied {
			c.look(c.Mode) // what was read is out of date
			return
		}
		m.clearOffice(s, w, sent.Nonce, c.Office, c.Queued)
	case elClearByMark, elClearOffice:
		if !applied {
			s.send(w, elCommit{Kind: elClearEntry, Nonce: sent.Nonce})
			return
		}
		m.cleared(c)
	case elClearEntry:
		m.cleared(c)
	default: // join, base mark, raise
		c.look(elCampaigns)
	}
}
