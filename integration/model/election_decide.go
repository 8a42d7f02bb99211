package model

// decide does the first thing that a round of reads calls for.
func (m *election) decide(s *elState, w int) {
	c := &s.C[w]
	for i := range m.seats {
		st := &s.Store.Seats[i]
		if !m.oldMarks {
			for _, k := range st.Marks {
				c.see(uint8(i), k.elTenure)
			}
		}
		c.see(uint8(i), st.Leader.Tenure)
	}
	if st := &s.Store.Seats[c.Doubts]; !st.holdsAll(c.Doubt) {
		c.Doubt, c.Doubts = [elMarks]elMark{}, 0 // one of them is gone: the take is settled
	}
	switch c.Mode {
	case elVacates:
		st := &s.Store.Seats[c.Seat]
		own := [elMarks]elMark{{elTenure: c.Leading, Kind: elSpare}, {elTenure: c.Leading}}
		if st.Leader.Tenure == c.Leading && st.holdsAll(own) && c.Seen[c.Seat] == c.Leading {
			m.sendRelease(s, w, elName{}, elEntry{})
			break
		}
		m.clears(s, w)
	case elClears:
		m.clears(s, w)
	case elSweeps:
		if seat, nonce, ok := m.strayLeader(s, w, c.Under, 0); ok {
			m.clear(s, w, seat, nonce)
			break
		}
		c.over()
	default:
		m.campaigns(s, w)
	}
	c.Queue = [elQueue]elEntry{}
}

// campaigns is a round of a campaign.
func (m *election) campaigns(s *elState, w int) {
	c, who := &s.C[w], uint8(w)+1
	if m.lock && s.Store.Limit.Number == 0 {
		s.send(w, elCommit{Kind: elOpen})
		return
	}
	for i := range m.seats {
		if m.outdated(&s.Store.Seats[i], c.Seen[i].Number) && !m.noRaise {
			m.raise(s, w, uint8(i), c.Seen[i].Number)
			return
		}
	}
	if seat, nonce, ok := m.strayLeader(s, w, c.Under, c.Nonce); ok && !m.noSweep {
		m.clear(s, w, seat, nonce)
		return
	}
	place := c.place(who, c.Nonce)
	for i := range m.seats {
		st := &s.Store.Seats[i]
		l := st.Leader
		if l.Tenure.Who != who || l.Tenure.Nonce != c.Nonce || l.Session != c.Under {
			continue
		}
		// The own take was applied, though its reply said no or never came.
		switch {
		case !st.marked(l.Tenure) || c.Seen[i] != l.Tenure:
			c.Seat = uint8(i)
			c.giveUp()
		case place >= 0:
			s.send(w, elCommit{Kind: elLeave, Nonce: c.Nonce})
		default:
			m.lead(c, uint8(i), l.Tenure)
		}
		return
	}
	switch {
	case c.Doubt[0] != elMark{} && !m.noReplace && !m.doubtWaits:
		m.replace(s, w)
	case place < 0 && c.Joined:
		c.giveUp() // the own entry is gone: begin anew
	case place < 0:
		m.express(s, w)
	default:
		m.inQueue(s, w, place)
	}
}

// express takes a free office without a place in the queue, or joins it.
func (m *election) express(s *elState, w int) {
	c := &s.C[w]
	if !c.Tried && (c.Queue[0] == elEntry{} || m.expressBlindly) {
		for i := range m.open(&s.Store) {
			st := &s.Store.Seats[i]
			if (st.Leader == elLeader{}) && (st.Marks[0] == elMark{}) && c.Tries && !m.noBase {
				m.raise(s, w, uint8(i), 1) // it never is the head
				return
			}
			if (st.Leader == elLeader{}) && (st.Marks[0] != elMark{} || m.noBase) && (!m.strict || m.noPause || m.clean(st.Marks)) {
				c.Tried = !c.Tries // or short tenures would never queue
				m.sendTake(s, w, uint8(i), st.Marks, false)
				return
			}
		}
	}
	if c.Tries {
		c.giveUp()
		c.Leaves = true
		return
	}
	c.Tried, c.Joined = true, true
	s.send(w, elCommit{Kind: elJoin, Nonce: c.Nonce, Session: c.Under})
}

// inQueue is a round of a candidate that has a place in the queue.
func (m *election) inQueue(s *elState, w, place int) {
	c := &s.C[w]
	me := elName{uint8(w) + 1, c.Nonce}
	ahead, behind := m.ahead(c.Queue, place)
	for i := range m.open(&s.Store) {
		if (s.Store.Seats[i].Marks[0] == elMark{}) && !behind && !m.noBase { // only the head creates the first mark
			m.raise(s, w, uint8(i), 1)
			return
		}
	}
	for i := range m.open(&s.Store) {
		st := &s.Store.Seats[i]
		named := st.named()
		if m.namedIgnored {
			named = elName{}
		}
		n := c.place(named.Who, named.Nonce)
		switch {
		case st.Leader != elLeader{}:
		case named == me, !behind && (n < 0 && (!m.namedForEver || named == elName{})):
			m.pauseOrTake(s, w, uint8(i), st.Marks)
			return
		case !behind && n < 0: // only a mutant waits for a successor that is gone
			ahead, behind = elEntry{Who: named.Who, Nonce: named.Nonce}, true
		case !behind:
			ahead, behind = c.Queue[n], true
		}
	}
	if behind {
		c.At, c.Ahead = elAhead, ahead
		return
	}
	c.At = elHead
}

// ahead returns the entry directly ahead of a place in the queue, if there is
// one: the last by priority, then by creation.
func (m *election) ahead(queue [elQueue]elEntry, place int) (ahead elEntry, ok bool) {
	prio := func(i int) uint8 { return queue[i].Prio }
	at := -1
	for i, e := range queue {
		if e.Who == 0 || i == place || prio(i) < prio(place) || prio(i) == prio(place) && i > place {
			continue
		}
		if at < 0 || prio(i) <= prio(at) {
			at = i
		}
	}
	if at < 0 {
		return elEntry{}, false
	}
	return queue[at], true
}

// place is where the queue as read has an entry.
func (c *elCandidate) place(who, nonce uint8) int {
	read := elStore{Queue: c.Queue}
	return read.place(who, nonce)
}

// clean reports whether the last tenure is known to have ended in order: all
// marks of the highest number say so. They have the highest number that the
// candidate knows, or it would have created one that does not.
func (m *election) clean(marks [elMarks]elMark) bool {
	for _, k := range marks {
		if k != (elMark{}) && k.Number == marks[0].Number && !k.Clean {
			return false
		}
	}
	return true
}

func (m *election) pauseOrTake(s *elState, w int, seat uint8, marks [elMarks]elMark) {
	c := &s.C[w]
	if !m.strict || m.noPause || m.clean(marks) {
		m.sendTake(s, w, seat, marks, true)
		return
	}
	c.At, c.Pending, c.Seat, c.Marks = elPause, 0, seat, marks
	for i := range s.C {
		if i != w && s.C[i].Trusted {
			c.Pending |= 1 << i
		}
	}
}

// sendTake names all marks as they were read.
func (m *election) sendTake(s *elState, w int, seat uint8, marks [elMarks]elMark, queued bool) {
	c := &s.C[w]
	read := elSeat{Marks: marks}
	named := read.named()
	mine := elTenure{max(c.Seen[seat].Number, marks[0].Number) + 1, uint8(w) + 1, c.Nonce}
	take := elCommit{
		Kind: elTake, Nonce: c.Nonce, Queued: queued && !m.noEntryCondition, Session: c.Under, Seat: seat, Tenure: mine, Marks: marks,
		Limit: s.Store.Limit, Jumped: !queued || named == elName{uint8(w) + 1, c.Nonce},
	}
	if m.oneMark {
		take.Marks = [elMarks]elMark{marks[0]}
	}
	if m.oldMarks {
		take.Tenure.Number = c.Seen[seat].Number + 1
	}
	s.send(w, take)
	c.Late, c.Pending, c.Marks = false, 0, [elMarks]elMark{}
	c.Doubt, c.Doubts = marks, seat
}

func (m *election) lead(c *elCandidate, seat uint8, mine elTenure) {
	c.look(elCampaigns)
	c.At, c.Leading, c.Seat, c.Joined = elLeads, mine, seat, false
	c.Doubt, c.Doubts, c.Came = [elMarks]elMark{}, 0, 0
}

// sendRelease ends a tenure in order: both marks become clean.
func (m *election) sendRelease(s *elState, w int, next elName, touch elEntry) {
	c := &s.C[w]
	own := [elMarks]elMark{{elTenure: c.Leading, Kind: elSpare}, {elTenure: c.Leading}}
	s.send(w, elCommit{Kind: elRelease, Nonce: c.Nonce, Tenure: c.Leading, Seat: c.Seat, Marks: own, Next: next, Touch: touch})
}

// raise replaces all marks by two with a number. Where there is none it creates
// the base mark, above what was removed.
func (m *election) raise(s *elState, w int, seat, number uint8) {
	if (s.Store.Seats[seat].Marks[0] == elMark{}) {
		m.marksUp(s, w, elMarkUp, seat, max(number, s.Store.Floor.Number), 1)
		return
	}
	n := 2
	if m.raiseKeeps {
		n = 1
	}
	m.marksUp(s, w, elRaise, seat, number, n)
}

// marksUp creates marks with a number. The commit names all marks. That of a
// lock puts the limit, so that none is left by a removal, and names the floor
// where there is no mark.
func (m *election) marksUp(s *elState, w int, kind, seat, number uint8, n int) {
	c := &s.C[w]
	up := elCommit{Kind: kind, Seat: seat, Marks: s.Store.Seats[seat].Marks, Limit: s.Store.Limit}
	if (up.Marks[0] == elMark{}) {
		up.Floor = s.Store.Floor
	}
	for i := range n {
		c.Nonces++
		up.Create[i] = elMark{elTenure: elTenure{number, uint8(w) + 1, c.Nonces}, Kind: elBase, Clean: m.raiseClean}
	}
	s.send(w, up)
}

// giveUp ends a campaign or what is left of a tenure.
func (c *elCandidate) giveUp() { c.look(elClears) }

// clears is a round of giving up.
func (m *election) clears(s *elState, w int) {
	c := &s.C[w]
	c.Mode = elClears
	for i := range m.seats {
		l := s.Store.Seats[i].Leader
		if int(l.Tenure.Who) == w+1 && l.Tenure.Nonce == c.Nonce && l.Session == c.Under {
			m.clear(s, w, uint8(i), c.Nonce)
			return
		}
	}
	if c.Doubt[0] != (elMark{}) && !m.noReplace {
		m.replace(s, w)
		return
	}
	if c.Joined {
		s.send(w, elCommit{Kind: elLeave, Nonce: c.Nonce})
		return
	}
	c.over()
}

// replace ends the doubt about an express take: the marks that it names get
// other names, with the same numbers and values.
func (m *election) replace(s *elState, w int) {
	c := &s.C[w]
	r := elCommit{Kind: elReplace, Seat: c.Doubts, Marks: c.Doubt}
	for i, k := range c.Doubt {
		if k == (elMark{}) {
			break
		}
		c.Nonces++
		r.Create[i] = elMark{elTenure{k.Number, uint8(w) + 1, c.Nonces}, elBase, k.Clean, k.Next}
		if m.replaceZero {
			r.Create[i].Number = 1
		}
	}
	s.send(w, r)
}

// clear deletes the leader key of a campaign, once its number is secure: two
// marks have the highest number that is known. It names all marks.
func (m *election) clear(s *elState, w int, seat, nonce uint8) {
	c, st := &s.C[w], &s.Store.Seats[seat]
	have := 0
	for _, k := range st.Marks {
		if k != (elMark{}) && k.Number >= c.Seen[seat].Number {
			have++
		}
	}
	c.Target = nonce
	if have < 2 && !m.noSecure {
		m.marksUp(s, w, elMarkUp, seat, c.Seen[seat].Number, 2-have)
		return
	}
	s.send(w, elCommit{Kind: elClear, Nonce: nonce, Seat: seat, Tenure: st.Leader.Tenure, Marks: st.Marks})
}

// replied is what follows the reply to a commit.
func (m *election) replied(s *elState, w int, sent *elCommit, applied bool) {
	c := &s.C[w]
	switch sent.Kind {
	case elTake:
		if applied && !c.Late {
			c.see(sent.Seat, sent.Tenure)
			m.lead(c, sent.Seat, sent.Tenure)
			return
		}
		c.Doubt, c.Doubts = [elMarks]elMark{}, 0
		c.look(elCampaigns)
	case elRelease:
		if applied {
			c.over()
			return
		}
		c.look(elVacates)
	case elLeave:
		c.Joined = c.Mode == elCampaigns // the end of giving up
		c.look(c.Mode)
	default:
		c.look(c.Mode)
	}
}
