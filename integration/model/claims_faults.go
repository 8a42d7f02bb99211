package model

// arrive is a commit that reaches the store, and its reply.
func (m *claims) arrive(s clState, i int, took func(Step, clState)) {
	c, n := s.Flights[i], s
	copy(n.Flights[i:], n.Flights[i+1:])
	n.Flights[clFlights-1] = clCommit{}
	p := int(c.By) - 1
	step := Step{Who: ckName(p), What: [...]string{"", "creation of the claims", "put of the claims", "plan", "base mark"}[c.Kind], Fault: !c.Waited}
	if c.Claim {
		step.What = "claim"
	}
	if c.Kind == clMake && !s.Store.alive(c.Lease) {
		step.What += " finds the session dead"
		if c.Waited {
			n.P[p].Trusted = false // ErrSessionLost
		}
		took(step, n)
		return
	}
	applied := m.holds(&s.Store, &c)
	step.What += " is refused"
	if applied {
		m.apply(&n, &c)
		step.What = step.What[:len(step.What)-len("is refused")] + "lands"
	}
	if c.Waited {
		m.replied(&n, p, &c, applied)
	}
	took(step, n)
}

// happens is what happens to processes and sessions.
func (m *claims) happens(s clState, took func(Step, clState)) {
	for p := range s.P {
		a := s.P[p]
		step := func(what string, left func(*clFaults) *uint8, change func(*clState, *clProcess)) {
			n := s
			if left != nil {
				if *left(&n.Left) == 0 || n.Total == 0 {
					return
				}
				*left(&n.Left)--
				n.Total--
			}
			change(&n, &n.P[p])
			took(Step{ckName(p), what, left != nil}, n)
		}
		for k := uint8(1); k <= a.Sessions; k++ {
			session := uint8(2*p) + k - 1
			if s.Store.alive(session) && !(a.Trusted && a.Session == session) {
				step("the store expires a session", nil, func(s *clState, _ *clProcess) { s.Store.end(session) })
			}
		}
		if a.Up && a.At == clJoins {
			switch {
			case !a.Trusted && a.Sessions < 2:
				step("a session is granted", nil, func(_ *clState, a *clProcess) {
					a.Trusted, a.Session = true, uint8(2*p)+a.Sessions
					a.Sessions++
				})
			case a.Trusted && a.Used == 0:
				step("registers", nil, func(_ *clState, a *clProcess) { a.register(p) })
			case a.Trusted && a.Used < 2:
				step("registers again", func(f *clFaults) *uint8 { return &f.Rejoins }, func(_ *clState, a *clProcess) { a.register(p) })
			}
		}
		if !a.Up || !a.Trusted {
			continue
		}
		if !s.Store.alive(a.Session) {
			step("hears that the session is dead", nil, func(_ *clState, a *clProcess) { a.Trusted, a.Body, a.Token = false, clNone, 0 })
			continue
		}
		step("the trust window closes", func(f *clFaults) *uint8 { return &f.TrustEnds }, func(_ *clState, a *clProcess) {
			a.Trusted, a.Body, a.Token = false, clNone, 0
		})
		step("crashes", func(f *clFaults) *uint8 { return &f.Crashes }, func(s *clState, a *clProcess) {
			s.shelve(p)
			*a = clProcess{Up: true, At: clJoins, Sessions: a.Sessions, Used: a.Used, Names: a.Names}
		})
		step("the store revokes the session early", func(f *clFaults) *uint8 { return &f.Revoked }, func(s *clState, a *clProcess) {
			s.Store.end(a.Session)
			s.Early = true
		})
		if a.At == clAwaits {
			step("no reply in time, ErrIndeterminate: it may land later", func(f *clFaults) *uint8 { return &f.RepliesLost }, func(s *clState, a *clProcess) {
				at := uint8(clIdle)
				for _, c := range s.Flights {
					if int(c.By) == p+1 && c.Waited && c.Kind == clMake {
						at = clCreated
					}
				}
				s.shelve(p)
				a.At, a.Planned = at, false
			})
		}
		if a.At != clOut && a.At != clJoins && a.At != clEnds && !a.Leaving {
			step("its Run is to end: it leaves", func(f *clFaults) *uint8 { return &f.Quits }, func(_ *clState, a *clProcess) { a.Leaving = true })
		}
		for q := range s.P {
			if q != p && s.P[q].Wait == 1 {
				step("a TTL has passed for who waits: a look from before no longer counts", nil, func(s *clState, a *clProcess) {
					s.P[q].Wait = 2
					if a.Old {
						a.Closed, a.Body, a.Token = true, clNone, 0
					}
				})
			}
		}
	}
}

// register takes a registration that was never used. A member that begins has
// not looked yet.
func (a *clProcess) register(p int) {
	a.Reg, a.At = uint8(2*p)+a.Used, clCreates
	a.Used++
}

// disasters are what happens to the store.
func (m *claims) disasters(s clState, took func(Step, clState)) {
	step := func(who, what string, left func(*clFaults) *uint8, change func(*clState)) {
		n := s
		if *left(&n.Left) == 0 || n.Total == 0 {
			return
		}
		*left(&n.Left)--
		n.Total--
		change(&n)
		if n.Store != s.Store {
			took(Step{who, what, true}, n)
		}
	}
	for r := range s.Store.Claims {
		if s.Store.Claims[r].There {
			step("hand", "claims are deleted", func(f *clFaults) *uint8 { return &f.ClaimsDeleted }, func(s *clState) {
				s.Store.drop(r)
				s.Early = true
			})
		}
	}
	step("hand", "the plan is deleted", func(f *clFaults) *uint8 { return &f.PlanDeleted }, func(s *clState) { s.Store.Plan = clPlan{} })
	for _, name := range s.Store.Marks {
		if name != 0 {
			step("hand", "a mark is deleted", func(f *clFaults) *uint8 { return &f.MarkDeleted }, func(s *clState) { s.Store.unmark(name) })
		}
	}
	switch {
	case s.Left.Restored == 0:
	case !s.Snapped && s.Store.Plan.There:
		n := s
		n.Snapshot, n.Snapped = s.Store, true
		took(Step{"store", "a snapshot is taken", true}, n)
	case s.Snapped:
		step("store", "the snapshot is restored", func(f *clFaults) *uint8 { return &f.Restored }, func(s *clState) {
			if m.allSeen {
				s.seeAll()
			}
			s.Store, s.Snapshot, s.Lost, s.Early = s.Snapshot, clStore{}, true, true
		})
	}
}

// seeAll: see claims.allSeen.
func (s *clState) seeAll() {
	newest := s.Store.Plan
	for p := range s.P {
		if s.P[p].Epoch > newest.Epoch {
			newest.Epoch, newest.Nonce = s.P[p].Epoch, s.P[p].Nonce
		}
	}
	for p := range s.P {
		a := &s.P[p]
		a.see(&newest)
		switch a.At {
		case clAwaits:
			a.At = clIdle
			for _, c := range s.Flights {
				if int(c.By) == p+1 && c.Waited && c.Kind == clMake {
					a.At = clCreated
				}
			}
		case clLook2, clLook3, clLists:
			a.At = clIdle
		}
	}
	s.Flights = [clFlights]clCommit{}
}
