package model

func (s *elStore) place(who, nonce uint8) int {
	for i, e := range s.Queue {
		if e.Who == who && e.Nonce == nonce && who != 0 {
			return i
		}
	}
	return -1
}

// leave deletes an entry of the queue.
func (s *elState) leave(i int) {
	q := &s.Store.Queue
	s.newcomer(q[i].Who)
	copy(q[i:], q[i+1:])
	q[elQueue-1] = elEntry{}
}

// ranks is part of each commit that gives an entry a priority.
func (m *election) ranks(s *elStore, prio uint8) {
	s.Ranked = s.Ranked || prio > 0 && !m.rankedSilently
}

// newcomer says that a candidate has no older claim than those who wait.
func (s *elState) newcomer(who uint8) {
	for w := range s.C {
		s.C[w].Came &^= 1 << who
	}
	for seat := range s.Store.Seats {
		s.Store.Seats[seat].Waited &^= 1 << who
	}
}

// marked reports whether the own mark of a tenure exists.
func (s *elSeat) marked(t elTenure) bool { return s.find(elMark{elTenure: t}) >= 0 }

// vacated deletes the leader key of a seat.
func (s *elStore) vacated(seat int) {
	st := &s.Seats[seat]
	st.Leader, st.Waited = elLeader{}, 0
	for _, e := range s.Queue {
		if e.Who != 0 {
			st.Waited |= 1 << e.Who
		}
	}
}

// find returns where a mark of this name is.
func (s *elSeat) find(k elMark) int {
	for i, o := range s.Marks {
		if o != (elMark{}) && o.sameName(k) {
			return i
		}
	}
	return -1
}

// outdated reports whether the marks are to be raised: they are lower than what
// is known, or the holder is lower than they are and does not know it yet.
func (m *election) outdated(s *elSeat, known uint8) bool {
	held := s.Leader != elLeader{} && s.marked(s.Leader.Tenure) && !m.raiseKeeps
	return known > s.Marks[0].Number || held && s.Leader.Tenure.Number < s.Marks[0].Number
}

// open returns how many seats can be taken.
func (m *election) open(s *elStore) int {
	if !m.lock || s.Limit.Number == 0 {
		return int(m.limit)
	}
	return int(s.Limit.Number)
}

// named returns the successor that the marks of the highest number name.
func (s *elSeat) named() elName {
	for _, k := range s.Marks {
		if k.Next != (elName{}) && k.Number == s.Marks[0].Number {
			return k.Next
		}
	}
	return elName{}
}

func (s *elSeat) unmark(k elMark) {
	if i := s.find(k); i >= 0 {
		copy(s.Marks[i:], s.Marks[i+1:])
		s.Marks[elMarks-1] = elMark{}
	}
}

// mark reports whether there was room.
func (s *elSeat) mark(k elMark) bool {
	if s.Marks[elMarks-1] != (elMark{}) {
		return false
	}
	i := elMarks - 1
	for ; i > 0 && higher(k, s.Marks[i-1]); i-- {
		s.Marks[i] = s.Marks[i-1]
	}
	s.Marks[i] = k
	return true
}

// higher is the order of the marks.
func higher(a, b elMark) bool {
	switch {
	case b == elMark{}:
		return true
	case a.Number != b.Number:
		return a.Number > b.Number
	case a.Who != b.Who:
		return a.Who > b.Who
	case a.Nonce != b.Nonce:
		return a.Nonce > b.Nonce
	default:
		return a.Kind > b.Kind
	}
}

// holdsAll reports whether all of marks exist, unchanged.
func (s *elSeat) holdsAll(marks [elMarks]elMark) bool {
	for _, k := range marks {
		if k == (elMark{}) {
			continue
		}
		if i := s.find(k); i < 0 || s.Marks[i] != k {
			return false
		}
	}
	return true
}

func (s *elStore) alive(who, session uint8) bool { return s.Alive[who-1]&(1<<session) != 0 }

// end is the end of a lease: all its keys go at one instant.
func (s *elState) end(who, session uint8) {
	s.Store.Alive[who-1] &^= 1 << session
	for i := elQueue - 1; i >= 0; i-- {
		if e := s.Store.Queue[i]; e.Who == who && e.Session == session {
			s.leave(i)
		}
	}
	for i := range s.Store.Seats {
		if l := s.Store.Seats[i].Leader; l.Tenure.Who == who && l.Session == session {
			s.Store.vacated(i)
		}
	}
}

// forgets keeps the ghost up to date.
func (s *elStore) forgets() {
	for i := range s.Seats {
		if st := &s.Seats[i]; max(st.Marks[0].Number, s.Floor.Number) < st.Last.Number {
			st.Forgot = true
		}
	}
}

// holds reports whether all conditions of a commit hold. The leader key is
// compared by a version, which says no more than that it exists.
func (m *election) holds(s *elStore, c *elCommit) bool {
	st := &s.Seats[c.Seat]
	there := st.Leader != elLeader{}
	switch c.Kind {
	case elTake:
		return !there && st.holdsAll(c.Marks) && (!c.Queued || s.place(c.By, c.Nonce) >= 0) && (m.limitNotNamed || s.Limit == c.Limit)
	case elReplace, elRaise:
		return st.holdsAll(c.Marks)
	case elMarkUp:
		switch {
		case !m.lock:
			return m.secureBlindly || st.holdsAll(c.Marks)
		case s.Limit.Number == 0 || !m.limitNotPut && s.Limit != c.Limit:
			return false
		case c.Marks[0] == (elMark{}):
			return m.floorNotNamed || s.Floor == c.Floor
		}
		return m.secureBlindly || st.holdsAll(c.Marks)
	case elOpen:
		return s.Limit.Number == 0
	case elRemove:
		return st.holdsAll(c.Marks) && s.Limit == c.Limit && (m.removeNoFloorCheck || s.Floor == c.Floor)
	case elRelease:
		if c.Touch != (elEntry{}) {
			if i := s.place(c.Touch.Who, c.Touch.Nonce); i < 0 || s.Queue[i] != c.Touch {
				return false
			}
		}
		if (c.Next != elName{}) && s.Ranked && !m.namedAmongRanks {
			return false
		}
		return there && (m.releaseBlindly || st.holdsAll(c.Marks))
	case elClear:
		return there && (m.clearBlindly || st.holdsAll(c.Marks))
	default:
		return true
	}
}

// apply does what a commit does, to a store where it holds.
func (m *election) apply(s *elState, c *elCommit) {
	st := &s.Store.Seats[c.Seat]
	room := true
	vacate := func() {
		if st.Leader.Tenure != c.Tenure {
			s.Broken.is(elOthers)
		}
		s.Store.vacated(int(c.Seat))
	}
	switch c.Kind {
	case elJoin:
		room = s.Store.Queue[elQueue-1] == elEntry{}
		if s.Store.place(c.By, c.Nonce) >= 0 {
			return
		}
		for i := range s.Store.Queue {
			if s.Store.Queue[i] == (elEntry{}) {
				s.Store.Queue[i] = elEntry{Who: c.By, Nonce: c.Nonce, Session: c.Session, Prio: s.C[c.By-1].Prio}
				m.ranks(&s.Store, s.C[c.By-1].Prio)
				break
			}
		}
	case elTake:
		m.taken(s, c)
		for _, k := range c.Marks {
			if k != (elMark{}) && (!m.oneMark || k == c.Marks[0]) {
				st.unmark(k)
			}
		}
		room = st.mark(elMark{elTenure: c.Tenure})
		if !m.noSpare {
			room = st.mark(elMark{elTenure: c.Tenure, Kind: elSpare}) && room
		}
		st.Leader, st.Waited = elLeader{c.Tenure, c.Session, c.Jumped}, 0
		st.Last, st.Forgot = c.Tenure, false
		if i := s.Store.place(c.By, c.Nonce); i >= 0 && c.Queued {
			s.leave(i)
		}
	case elMarkUp, elRaise, elReplace:
		if c.Kind == elReplace || c.Kind == elRaise && !m.raiseKeeps {
			for _, k := range c.Marks {
				if k != (elMark{}) {
					st.unmark(k)
				}
			}
		}
		for _, k := range c.Create {
			if k != (elMark{}) {
				room = st.mark(k) && room
			}
		}
		if c.Kind == elMarkUp && m.lock && !m.limitNotPut {
			s.Store.Limit.Version++
		}
	case elOpen:
		s.Store.Limit = elKey{Number: m.limit}
	case elRelease:
		vacate()
		for _, k := range c.Marks {
			if i := st.find(k); k != (elMark{}) && i >= 0 {
				st.Marks[i].Clean, st.Marks[i].Next = true, c.Next
			}
		}
		if c.Touch != (elEntry{}) {
			s.Store.Queue[s.Store.place(c.Touch.Who, c.Touch.Nonce)].Touched++
		}
	case elClear:
		vacate()
	case elRemove:
		if (st.Leader != elLeader{}) {
			s.Broken.is(elInUse)
		}
		for _, k := range c.Marks {
			st.unmark(k)
		}
		s.Store.Limit.Version++
		if s.Store.Seats[0].Marks[0] == s.Store.Seats[1].Marks[0] {
			s.Store.Limit = elKey{} // neither has one
		}
		s.Store.Floor.Version++
		if !m.floorNotRaised {
			high := max(c.Floor.Number, c.Marks[0].Number)
			if high < s.Store.Floor.Number {
				s.Broken.is(elFloor)
			}
			s.Store.Floor.Number = high
		}
	case elLimit:
		s.Store.Limit = elKey{c.Limit.Number, s.Store.Limit.Version + 1}
	case elLeave:
		if i := s.Store.place(c.By, c.Nonce); i >= 0 {
			s.leave(i)
		}
	}
	if !room {
		s.Broken.is(tooSmall)
	}
}

// taken asks whether a take may be applied: whether its number grows, and
// whether it is its sender's turn.
func (m *election) taken(s *elState, take *elCommit) {
	st, w := &s.Store.Seats[take.Seat], int(take.By)-1
	known := !st.Forgot
	for i := range s.C {
		a := &s.C[i]
		asked := m.remembered || i == w
		known = known || asked && a.Up && a.At != elOut && a.Seen[take.Seat].Number >= take.Tenure.Number
	}
	if known && take.Tenure.Number <= st.Last.Number {
		s.Broken.is(elGrows)
	}
	if int(take.Seat) >= m.open(&s.Store) {
		s.Broken.is(elLimits)
	}
	c := &s.C[w]
	if s.Early || c.Session != take.Session || !c.Trusted {
		return
	}
	if c.Nonce != take.Nonce {
		s.Broken.is(elOver)
		return
	}
	named := st.named()
	prio := c.Prio
	if i := s.Store.place(take.By, take.Nonce); i >= 0 {
		prio = s.Store.Queue[i].Prio
	}
	for _, e := range s.Store.Queue {
		switch {
		case e.Who == 0, e.Who == take.By:
		case elName{e.Who, e.Nonce} == named:
			s.Broken.is(elNamed)
		case named != elName{take.By, take.Nonce} && c.Came&(1<<e.Who) != 0 && e.Prio == prio:
			s.Broken.is(elOrder)
		case named != elName{take.By, take.Nonce} && st.Waited&(1<<e.Who) != 0 && e.Prio > prio:
			s.Broken.is(elPrior)
		}
	}
}
