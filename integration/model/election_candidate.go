package model

// elStep takes a step of a candidate.
type elStep func(what string, change func(s *elState, c *elCandidate))

// next is every step that can be taken.
func (m *election) next(s elState, emit func(Step, elState)) {
	took := func(step Step, n elState) {
		m.forget(&n)
		emit(step, n)
	}
	for w := range m.n {
		m.candidate(s, w, took)
	}
	for i := range s.Flights {
		if s.Flights[i].Kind != 0 {
			m.arrive(s, i, took)
		}
	}
	m.sessions(s, took)
	m.operators(s, took)
	m.disasters(s, took)
}

// forget drops the commits that nobody waits for and that can never be applied:
// they need a session that is dead, unless a restore may bring it back.
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
		if int(s.Flights[i].By) == w+1 && s.Flights[i].Waited {
			s.Flights[i].Waited = false
		}
	}
}

func (c *elCandidate) see(seat uint8, t elTenure) {
	if t.Number > c.Seen[seat].Number {
		c.Seen[seat] = t
	}
}

// look begins a round of reads.
func (c *elCandidate) look(mode uint8) {
	c.At, c.Mode, c.Target, c.Late, c.Pending = elRead, mode, 0, false, 0
	c.Ahead, c.Queue, c.Marks = elEntry{}, [elQueue]elEntry{}, [elMarks]elMark{}
	if mode != elVacates && mode != elClears {
		c.Seat = 0
	}
	c.News = false
}

// over is the end of a tenure or of a campaign: the next one begins, or none.
func (c *elCandidate) over() {
	at := uint8(elStart)
	if c.Leaves {
		at = elOut
	}
	c.look(elCampaigns)
	c.At, c.Leaves, c.Leading, c.Nonce, c.Under = at, false, elTenure{}, 0, 0
	c.Tried, c.Joined, c.Doubt, c.Doubts, c.Came = false, false, [elMarks]elMark{}, 0, 0
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
		step("the session is over: its keys go with it", func(s *elState, c *elCandidate) {
			s.shelve(w)
			c.over()
		})
		return
	}
	m.collect(s, w, step)
	switch c.At {
	case elStart:
		if c.Trusted {
			step("campaign: begin to read", func(s *elState, c *elCandidate) {
				c.Nonces++
				c.look(elCampaigns)
				c.Nonce, c.Under = c.Nonces, c.Session
				for _, e := range s.Store.Queue {
					if e.Who != 0 && int(e.Who) != w+1 {
						c.Came |= 1 << e.Who
					}
				}
			})
		}
	case elRead, elRead2:
		m.reads(s, w, step)
	case elAhead:
		m.waitsBehind(s, w, step)
	case elHead:
		m.waitsAtHead(s, w, step)
	case elPause:
		if c.Pending == 0 {
			step("the pause is over: take", func(s *elState, c *elCandidate) {
				m.sendTake(s, w, c.Seat, c.Marks, true)
			})
		}
	case elLeads:
		if !m.stands(&s, w) {
			step("watch: the leader key or the mark is gone; step down", func(s *elState, c *elCandidate) {
				for _, k := range s.Store.Seats[c.Seat].Marks {
					c.see(c.Seat, k.elTenure)
				}
				c.giveUp()
			})
		}
	}
	m.pauses(s, w, took)
}

// collect is the orphan collector: it deletes the entries under the session
// that belong to no waiting campaign, and clears the leader keys that belong to
// no tenure.
func (m *election) collect(s elState, w int, step elStep) {
	c := s.C[w]
	if m.noSweep || !c.Trusted {
		return
	}
	waits := c.Mode == elCampaigns && c.At != elLeads && c.At != elOut && c.At != elStart
	for i, e := range s.Store.Queue {
		if int(e.Who) == w+1 && e.Session == c.Session && !(waits && e.Nonce == c.Nonce) {
			step("collector: delete a stray entry", func(s *elState, _ *elCandidate) { s.leave(i) })
			break
		}
	}
	if _, _, ok := m.strayLeader(&s, w, c.Session, c.Nonce); !ok {
		return
	}
	switch c.At {
	case elOut:
		step("collector: look", func(_ *elState, c *elCandidate) {
			c.look(elSweeps)
			c.Under, c.Leaves = c.Session, true
		})
	case elAhead, elHead:
		step("collector: a stray leader key, look", func(_ *elState, c *elCandidate) { c.look(elCampaigns) })
	}
}

// strayLeader returns the seat and nonce of a leader key under the session that
// belongs to no campaign but keep.
func (m *election) strayLeader(s *elState, w int, session, keep uint8) (seat, nonce uint8, ok bool) {
	for i := range m.seats {
		l := s.Store.Seats[i].Leader
		if int(l.Tenure.Who) == w+1 && l.Session == session && l.Tenure.Nonce != keep {
			return uint8(i), l.Tenure.Nonce, true
		}
	}
	return 0, 0, false
}

// waitsBehind watches the entry ahead.
func (m *election) waitsBehind(s elState, w int, step elStep) {
	c := s.C[w]
	i := s.Store.place(c.Ahead.Who, c.Ahead.Nonce)
	switch {
	case i >= 0 && (s.Store.Queue[i] == c.Ahead || m.noTouch || m.rerankedSilently && s.Store.Queue[i].Touched == c.Ahead.Touched):
		m.newGeneration(s, w, step)
	case i < 0 && m.inTurn(&s, c.Ahead):
		step("watch: the entry ahead is gone, its owner leads in turn: at the head", func(_ *elState, c *elCandidate) {
			c.At, c.Ahead = elHead, elEntry{}
		})
	default:
		step("watch: the entry ahead is gone or was put: look", func(_ *elState, c *elCandidate) { c.look(elCampaigns) })
	}
}

// inTurn reports whether the owner of an entry leads, and passed nobody.
func (m *election) inTurn(s *elState, ahead elEntry) bool {
	for i := range m.seats {
		l := s.Store.Seats[i].Leader
		if l.Tenure.Who == ahead.Who && l.Tenure.Nonce == ahead.Nonce && (!l.Jumped || m.jumpIgnored) {
			return true
		}
	}
	return false
}

// newGeneration is what a waiting candidate does after the store may have been
// restored: it reads its own entry and tenure/, not the queue.
func (m *election) newGeneration(s elState, w int, step elStep) {
	if !s.C[w].News {
		return
	}
	step("a new generation: read the own entry and tenure/", func(s *elState, c *elCandidate) {
		c.News = false
		for i := range m.seats {
			st := &s.Store.Seats[i]
			for _, k := range st.Marks {
				c.see(uint8(i), k.elTenure)
			}
			if c.Seen[i].Number > st.Marks[0].Number {
				c.look(elCampaigns)
				return
			}
		}
		if s.Store.place(uint8(w)+1, c.Nonce) < 0 {
			c.look(elCampaigns)
		}
	})
}

// waitsAtHead watches tenure/. It acts on what the watch shows: the conditions
// of the take are the proof.
func (m *election) waitsAtHead(s elState, w int, step elStep) {
	c := s.C[w]
	for i := range m.seats {
		st, seat := &s.Store.Seats[i], uint8(i)
		named := st.named()
		switch {
		case m.lock && s.Store.Limit.Number == 0:
			step("watch: the limit is gone: look", func(_ *elState, c *elCandidate) { c.look(elCampaigns) })
			return
		case i >= m.open(&s.Store) && st.Leader.Tenure.Who != uint8(w)+1:
		case m.outdated(st, c.Seen[i].Number) || st.Marks[0] == elMark{},
			st.Leader != elLeader{} && st.Leader.Tenure.Who == uint8(w)+1:
			step("watch: the marks or the holder are lower than what is known, or the leader key is the own: look", func(_ *elState, c *elCandidate) { c.look(elCampaigns) })
			return
		case st.Leader != elLeader{}:
		case named != elName{} && named != (elName{uint8(w) + 1, c.Nonce}) && !m.namedIgnored:
			step("watch: the office is free, another successor is named: look", func(_ *elState, c *elCandidate) { c.look(elCampaigns) })
			return
		case s.Store.Ranked && !m.priorUnread:
			step("watch: the office is free, there are priorities: look", func(_ *elState, c *elCandidate) { c.look(elCampaigns) })
			return
		default:
			step("watch: the office is free", func(s *elState, c *elCandidate) {
				for _, k := range st.Marks {
					c.see(seat, k.elTenure)
				}
				m.pauseOrTake(s, w, seat, st.Marks)
			})
			return
		}
	}
	m.newGeneration(s, w, step)
}

// stands is what a holder compares. It need not see the marks of others: a
// higher number comes with the end of its own.
func (m *election) stands(s *elState, w int) bool {
	c := &s.C[w]
	st := &s.Store.Seats[c.Seat]
	return st.Leader.Tenure == c.Leading && (st.marked(c.Leading) || m.markNotWatched)
}

// reads is a round of reads: each shows what exists when it is made.
func (m *election) reads(s elState, w int, step elStep) {
	switch {
	case m.atOnce:
		step("read the queue and tenure/, decide", func(s *elState, c *elCandidate) {
			c.Queue = s.Store.Queue
			m.decide(s, w)
		})
	case s.C[w].At == elRead:
		step("read the queue", func(s *elState, c *elCandidate) {
			c.Queue, c.At = s.Store.Queue, elRead2
		})
	default:
		step("read tenure/, decide", func(s *elState, _ *elCandidate) { m.decide(s, w) })
	}
}
