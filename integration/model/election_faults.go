package model

// arrive is a commit that reaches the store, and its reply. Where nobody waits
// for it any longer, nothing good may depend on that it ever does.
func (m *election) arrive(s elState, i int, took func(Step, elState)) {
	c, n := s.Flights[i], s
	copy(n.Flights[i:], n.Flights[i+1:])
	n.Flights[elFlights-1] = elCommit{}
	w := int(c.By) - 1
	step := Step{Who: ckName(w), What: elKinds[c.Kind], Fault: !c.Waited}
	if (c.Kind == elJoin || c.Kind == elTake) && !s.Store.alive(c.By, c.Session) {
		step.What += " finds the session dead"
		if c.Waited {
			n.C[w].Trusted = false // ErrSessionLost
		}
		took(step, n)
		return
	}
	applied := m.holds(&s.Store, &c)
	if applied {
		m.apply(&n, &c)
		step.What += " lands"
	} else {
		step.What += " is refused"
	}
	if c.Waited {
		m.replied(&n, w, &c, applied)
	}
	took(step, n)
}

// sessions are the grants and ends of sessions, and what callers do.
func (m *election) sessions(s elState, took func(Step, elState)) {
	for w := range m.n {
		c, who := s.C[w], uint8(w)+1
		step := func(what string, budget func(*elFaults) *uint8, change func(*elState, *elCandidate)) {
			n := s
			if budget != nil {
				left := budget(&n.Left)
				if *left == 0 || n.Total == 0 {
					return
				}
				*left--
				n.Total--
			}
			change(&n, &n.C[w])
			took(Step{ckName(w), what, budget != nil}, n)
		}
		for session := uint8(1); session < 8; session++ {
			if s.Store.alive(who, session) && (!(c.Trusted && c.Session == session) || m.expiresTrusted) {
				step("the store expires a session", nil, func(s *elState, _ *elCandidate) { s.end(who, session) })
			}
		}
		if !c.Up {
			n := s
			n.C[w].Up = true
			n.C[w].over()
			took(Step{ckName(w), "the process starts again", true}, n)
			continue
		}
		switch {
		case !c.Trusted && c.At == elStart:
			step("a session is granted", nil, func(s *elState, c *elCandidate) {
				c.Session++
				c.Trusted = true
				s.Store.Alive[w] |= 1 << c.Session
				if c.Session > 7 {
					s.Broken.is(tooSmall)
				}
			})
		case c.Trusted && !s.Store.alive(who, c.Session):
			step("hears that the session is dead", nil, func(_ *elState, c *elCandidate) { c.Trusted = false })
		case c.Trusted:
			step("the trust window closes", func(f *elFaults) *uint8 { return &f.TrustEnds }, func(_ *elState, c *elCandidate) { c.Trusted = false })
			step("the store revokes the session early", func(f *elFaults) *uint8 { return &f.Revoked }, func(s *elState, c *elCandidate) {
				s.end(who, c.Session)
				s.Early = true
			})
		}
		step("the process crashes", func(f *elFaults) *uint8 { return &f.Crashes }, func(s *elState, c *elCandidate) {
			s.shelve(w)
			*c = elCandidate{Session: c.Session, Nonces: c.Nonces, Prio: c.Prio}
		})
		under := c.Trusted && c.Session == c.Under
		switch {
		case c.At == elOut:
			step("campaigns again", func(f *elFaults) *uint8 { return &f.Again }, func(_ *elState, c *elCandidate) { c.At = elStart })
		case c.At == elLeads && under:
			step("the body has returned: resign, release", func(f *elFaults) *uint8 { return &f.Resigns }, func(s *elState, c *elCandidate) {
				c.Mode, c.Leaves = elVacates, true
				m.sendRelease(s, w, elName{}, elEntry{})
			})
			m.transfers(s, w, step)
		case c.At == elAwaits && under:
			step("no reply in time, ErrIndeterminate: it may land later", func(f *elFaults) *uint8 { return &f.RepliesLost }, func(s *elState, c *elCandidate) {
				s.shelve(w)
				c.look(c.Mode)
			})
		}
		if i := s.Store.place(who, c.Nonce); i >= 0 && (c.At == elAhead || c.At == elHead) && under {
			step("changes its priority, puts its entry, looks", func(f *elFaults) *uint8 { return &f.Reranked }, func(s *elState, c *elCandidate) {
				c.Prio = 1 - c.Prio
				s.Store.Queue[i].Prio = c.Prio
				m.ranks(&s.Store, c.Prio)
				s.newcomer(who)
				if !m.rerankedSilently {
					s.Store.Queue[i].Touched++
				}
				c.look(elCampaigns)
			})
		}
		if c.Mode == elCampaigns && c.At != elOut && c.At != elLeads && c.At != elStart && under {
			step("the campaign's context ends: clean up", func(f *elFaults) *uint8 { return &f.Cancels }, func(s *elState, c *elCandidate) {
				s.shelve(w)
				c.giveUp()
				c.Leaves = true
			})
		}
	}
}

// pauses is what ends a Strict pause of the others as far as candidate w goes:
// it cannot believe any more that it leads by what it knew before the pause
// began. A pause lasts a TTL, and a Strict leader trusts a look at its office
// no longer than that; so it has looked again meanwhile, or stepped down.
func (m *election) pauses(s elState, w int, took func(Step, elState)) {
	c := s.C[w]
	for i := range s.C {
		if s.C[i].Pending&(1<<w) == 0 {
			continue
		}
		n := s
		n.C[i].Pending &^= 1 << w
		switch {
		case !c.Trusted, c.Session != c.Under && c.At != elAwaits, c.At != elLeads && c.At != elAwaits, m.noConfirm:
		case c.At == elLeads:
			if st := &s.Store.Seats[c.Seat]; st.Leader.Tenure != c.Leading || !st.marked(c.Leading) {
				continue // it steps down first
			}
		default:
			n.C[w].Late = true // a take that lands now began too long ago
		}
		took(Step{ckName(w), "what it knew before the pause of another began has run out", false}, n)
	}
}

// transfers are resignations that name a successor from the queue, where there
// are no priorities: the order must not change before the commit. The leader puts
// the entry ahead of that one: its owner's watch is what wakes it.
func (m *election) transfers(s elState, w int, step func(string, func(*elFaults) *uint8, func(*elState, *elCandidate))) {
	for i, e := range s.Store.Queue {
		if e.Who == 0 || int(e.Who) == w+1 || s.Store.Ranked && !m.namedAmongRanks {
			continue
		}
		ahead, _ := m.ahead(s.Store.Queue, i)
		step("resign, and name a successor", func(f *elFaults) *uint8 { return &f.Transfers }, func(s *elState, c *elCandidate) {
			c.Mode, c.Leaves = elVacates, true
			m.sendRelease(s, w, elName{e.Who, e.Nonce}, ahead)
		})
	}
}

// operators are those who remove a name, or change how many seats it has. They
// read and send in one step; when the commit arrives is open.
func (m *election) operators(s elState, took func(Step, elState)) {
	send := func(what string, budget func(*elFaults) *uint8, c elCommit) {
		n := s
		left := budget(&n.Left)
		if *left == 0 || n.Total == 0 {
			return
		}
		*left--
		n.Total--
		c.By = 1
		at := n.C[0].At
		n.send(0, c)
		n.C[0].At = at
		for i := range n.Flights {
			if n.Flights[i].Kind == c.Kind {
				n.Flights[i].Waited = false
			}
		}
		took(Step{"hand", what, true}, n)
	}
	for i := range m.seats {
		st := &s.Store.Seats[i]
		if (st.Marks[0] != elMark{}) && (m.removeBlindly || s.Store.Queue[0] == elEntry{} && st.Leader == elLeader{}) {
			send("remove an unused name", func(f *elFaults) *uint8 { return &f.Removed },
				elCommit{Kind: elRemove, Seat: uint8(i), Marks: st.Marks, Floor: s.Store.Floor, Limit: s.Store.Limit})
		}
	}
	if n := s; n.Left.Others > 0 && n.Total > 0 {
		n.Left.Others--
		n.Total--
		n.Store.Floor = elKey{n.Store.Floor.Number + 5, n.Store.Floor.Version + 1}
		took(Step{"hand", "another name is removed", true}, n)
	}
	if m.limited != 0 && s.Store.Limit.Number != m.limited {
		send("change the number of seats", func(f *elFaults) *uint8 { return &f.Limited },
			elCommit{Kind: elLimit, Limit: elKey{Number: m.limited}})
	}
}

// disasters are what happens to the store.
func (m *election) disasters(s elState, took func(Step, elState)) {
	step := func(who, what string, budget func(*elFaults) *uint8, change func(*elState)) {
		n := s
		left := budget(&n.Left)
		if *left == 0 || n.Total == 0 {
			return
		}
		*left--
		n.Total--
		n.Early = true
		change(&n)
		if n.Store != s.Store {
			n.Store.forgets()
			took(Step{who, what, true}, n)
		}
	}
	for i, e := range s.Store.Queue {
		if e.Who != 0 {
			step("hand", "a queue entry is deleted", func(f *elFaults) *uint8 { return &f.EntryDeleted }, func(s *elState) { s.leave(i) })
		}
	}
	for i := range m.seats {
		step("hand", "the leader key is deleted", func(f *elFaults) *uint8 { return &f.LeaderDeleted }, func(s *elState) { s.Store.Seats[i].Leader = elLeader{} })
		for _, k := range s.Store.Seats[i].Marks {
			if k != (elMark{}) {
				step("hand", "a mark is deleted", func(f *elFaults) *uint8 { return &f.MarkDeleted }, func(s *elState) { s.Store.Seats[i].unmark(k) })
			}
		}
	}
	step("hand", "the store is wiped", func(f *elFaults) *uint8 { return &f.Wiped }, func(s *elState) { s.Store = elStore{} })
	switch {
	case s.Left.Restored == 0:
	case !s.Snapped && (s.Store.Queue[0] != elEntry{} || s.Store.Seats[0].Leader != elLeader{}):
		n := s
		n.Snapshot, n.Snapped = s.Store, true
		took(Step{"store", "a snapshot is taken", true}, n)
	case s.Snapped:
		step("store", "the snapshot is restored", func(f *elFaults) *uint8 { return &f.Restored }, func(s *elState) {
			s.Store, s.Snapshot = s.Snapshot, elStore{}
			for i := range s.C {
				s.C[i].News = s.C[i].Up
			}
		})
	}
}
