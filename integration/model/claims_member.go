package model

type clStep func(what string, change func(s *clState, a *clProcess))

// next is every step that can be taken.
func (m *claims) next(s clState, took func(Step, clState)) {
	for p := range s.P {
		m.member(s, p, took)
	}
	for i := range s.Flights {
		if s.Flights[i].Kind != 0 {
			m.arrive(s, i, took)
		}
	}
	m.happens(s, took)
	m.disasters(s, took)
}

// send puts a commit of the present registration on its way.
func (s *clState) send(p int, c clCommit) {
	a := &s.P[p]
	c.By, c.Waited, c.Reg = uint8(p)+1, true, a.Reg
	a.At = clAwaits
	if s.Flights[clFlights-1].Kind != 0 {
		s.Broken.is(tooSmall)
		return
	}
	i := clFlights - 1
	for ; i > 0 && (s.Flights[i-1].Kind == 0 || s.Flights[i-1].By > c.By); i-- {
		s.Flights[i] = s.Flights[i-1]
	}
	s.Flights[i] = c
}

func (s *clState) shelve(p int) {
	for i := range s.Flights {
		if int(s.Flights[i].By) == p+1 {
			s.Flights[i].Waited = false
		}
	}
}

// name is a nonce that nobody has had.
func (a *clProcess) name(p int) uint8 {
	a.Names++
	return uint8(p+1)<<4 | a.Names
}

// fresh is a member that begins, with what its process remembers.
func (a *clProcess) fresh(at uint8) {
	*a = clProcess{
		Up: a.Up, Trusted: a.Trusted, Session: a.Session, Sessions: a.Sessions, Reg: a.Reg, Used: a.Used,
		Names: a.Names, Epoch: a.Epoch, Nonce: a.Nonce, Leaving: a.Leaving, At: at,
	}
}

func (a *clProcess) see(plan *clPlan) {
	if plan.Epoch > a.Epoch {
		a.Epoch, a.Nonce = plan.Epoch, plan.Nonce
	}
}

func (m *claims) member(s clState, p int, took func(Step, clState)) {
	a := s.P[p]
	step := func(what string, change func(*clState, *clProcess)) {
		n := s
		change(&n, &n.P[p])
		took(Step{Who: ckName(p), What: what}, n)
	}
	if !a.Up {
		return
	}
	if a.Body == clReturns {
		step("the body returns", func(_ *clState, a *clProcess) { a.Body, a.Token = clNone, 0 })
	}
	if a.At != clOut && a.At != clJoins && !a.Trusted {
		step("the session is over: its bodies have stopped, its claims go with it", func(s *clState, a *clProcess) {
			s.shelve(p)
			a.fresh(clJoins)
			if a.Leaving {
				a.At = clOut
			}
		})
		return
	}
	if !m.noSweep && a.Trusted {
		for r := range s.Store.Claims {
			c := &s.Store.Claims[r]
			if clOf(uint8(r)) == p && c.There && c.Session == a.Session && (a.At == clOut || a.At == clJoins || uint8(r) != a.Reg) {
				step("sweep: claims of an earlier registration are deleted", func(s *clState, _ *clProcess) { s.Store.drop(r) })
			}
		}
	}
	switch a.At {
	case clCreates:
		step("create: send the own claims", func(s *clState, a *clProcess) {
			s.send(p, clCommit{Kind: clMake, Lease: a.Session, Value: clWrite{Leaving: true, Epoch: a.Epoch}})
		})
	case clCreated:
		step("create: read whether the own claims are there", func(s *clState, a *clProcess) {
			c := &s.Store.Claims[a.Reg]
			switch {
			case !c.There:
				a.At = clCreates
			case c.Write != 0:
				m.ends(a)
			default:
				a.Own, a.OwnVer, a.At = c.clWrite, c.Version, clIdle
			}
		})
	case clIdle, clLook2, clLook3:
		m.looks(&s, p, step)
	case clLists:
		step("list the claims", func(s *clState, a *clProcess) { m.list(s, p) })
		if s.Left.Moves > 0 && s.Total > 0 {
			n := s
			n.Left.Moves--
			n.Total--
			if m.propose(&n, p, true) {
				took(Step{ckName(p), "list the claims, propose to move the slot", true}, n)
			}
		}
	case clEnds:
		if a.Body == clNone {
			step("cleanUp: delete the own claims", func(s *clState, a *clProcess) {
				s.Store.drop(int(a.Reg))
				again := a.Restart
				a.fresh(clJoins)
				if !again {
					a.At = clOut
				}
			})
		}
	}
}

// drop deletes claims. How often they were created is remembered, as the store's
// revisions would tell.
func (s *clStore) drop(r int) { s.Claims[r] = clClaims{Created: s.Claims[r].Created} }

// ends is errGone, errForeign or errLeft: bodies stop, and then it cleans up.
func (m *claims) ends(a *clProcess) {
	a.At, a.Restart = clEnds, !a.Leaving
	if a.Body == clRuns {
		a.Body = clReturns
	}
}

// looks is a look: each read shows what is there when it is made.
func (m *claims) looks(s *clState, p int, step clStep) {
	marks := func(s *clState, a *clProcess) { a.Marks, a.OldLook = s.Store.Marks, false }
	plan := func(s *clState, a *clProcess) { m.take(a, &s.Store) }
	own := func(s *clState, _ *clProcess) { m.decide(s, p) }
	switch {
	case m.atOnce:
		step("look: read marks, plan and own claims, decide", func(s *clState, a *clProcess) {
			marks(s, a)
			plan(s, a)
			own(s, a)
		})
	case s.P[p].At == clIdle:
		step("look: list the marks", func(s *clState, a *clProcess) {
			a.At = clLook2
			marks(s, a)
		})
	case s.P[p].At == clLook2:
		step("look: read the plan", func(s *clState, a *clProcess) {
			a.At = clLook3
			plan(s, a)
		})
	default:
		step("look: read the own claims, decide", own)
	}
}

// take is take.
func (m *claims) take(a *clProcess, st *clStore) {
	plan := st.Plan
	reset := func() { a.Held, a.Released, a.Wait = [clClaimed]uint8{}, false, 0 }
	if !plan.There {
		a.There, a.Mark, a.Fork = false, false, false
		reset()
		return
	}
	if !a.There || plan != a.Read {
		reset()
	}
	a.Fork = (plan.Epoch < a.Epoch || plan.Epoch == a.Epoch && plan.Nonce != a.Nonce) && !m.noFork
	a.Read, a.There, a.Mark = plan, true, false
	if !a.Fork {
		a.see(&plan)
	}
	for _, name := range a.Marks {
		a.Mark = a.Mark || name == plan.Line
	}
}

// settle takes over the own claims as they are, and reports whether they are
// such as this member left them.
func (a *clProcess) settle(c *clClaims) bool {
	known, found := a.Own, false
	if c.There && c.Write == a.Own.Write {
		found = true
	}
	for _, w := range a.Sent[:a.NSent] {
		if c.There && c.Write == w.Write {
			known, found = w, true
		}
	}
	if !found || c.Session != a.Session {
		return false
	}
	if c.Version != a.OwnVer || known != a.Own {
		a.Own, a.OwnVer, a.Sent, a.NSent = known, c.Version, [clSent]clWrite{}, 0
	}
	return a.Body == clNone || a.Own.Holds
}

func (a *clProcess) mine() bool { return a.Read.Owner == a.Reg+1 && !a.Fork }

// claimed is claimed: no release may still land.
func (m *claims) claimed(a *clProcess) bool {
	if m.runsUnsettled {
		return a.Own.Holds
	}
	ok := a.Own.Holds && a.Own.Token == a.Read.Token
	for _, w := range a.Sent[:a.NSent] {
		ok = ok && w.Holds
	}
	return ok
}

func (a *clProcess) idle() bool { return a.mine() && !a.Leaving && a.Body == clNone }

func (a *clProcess) wanted(m *claims) bool { return a.There && a.Mark && a.idle() && !m.claimed(a) }

// decide is what a step does once it has looked.
func (m *claims) decide(s *clState, p int) {
	a := &s.P[p]
	a.At = clIdle
	if !a.settle(&s.Store.Claims[a.Reg]) {
		m.ends(a)
		return
	}
	a.Old, a.OldLook = a.OldLook, false
	a.Closed = a.Closed && a.Old
	known := a.Read != clPlan{}
	if known && !a.mine() && a.Body == clRuns {
		a.Body = clReturns // stopOthers
	}
	next := a.Own
	if known && !a.mine() && (a.Body == clNone || m.releasesEarly) {
		next.Holds, next.Token = false, 0
	}
	next.Leaving = a.Leaving
	if next != a.Own {
		m.write(s, p, next, false)
		return
	}
	m.begin(s, p)
	if a.Leaving && a.Planned {
		m.ends(a)
		return
	}
	if a.wanted(m) || a.Leaving || m.planNeeded(s, p) || s.Left.Moves > 0 && a.There && a.Mark {
		a.At = clLists
	}
}

// write sends a value of the own claims.
func (m *claims) write(s *clState, p int, next clWrite, claim bool) {
	a := &s.P[p]
	a.Writes++
	next.Write, next.Epoch = a.Writes, max(next.Epoch, a.Epoch)
	if a.NSent == clSent {
		s.Broken.is(tooSmall)
		return
	}
	a.Sent[a.NSent] = next
	a.NSent++
	c := clCommit{Kind: clPut, Own: a.OwnVer, Value: next, Claim: claim}
	if claim {
		c.Before, c.Mark = clPlan{There: true, Version: a.Read.Version}, a.Read.Line
	}
	s.send(p, c)
}

// begin is beginOwned.
func (m *claims) begin(s *clState, p int) {
	a := &s.P[p]
	if a.Read == (clPlan{}) || !a.idle() || !m.claimed(a) || !a.Trusted || m.strict && a.Closed {
		return
	}
	a.Body, a.Token = clRuns, a.Own.Token
	// After a restore it is asked where somebody remembers.
	if (!s.Lost || m.allSeen) && a.Token <= s.TokMax && s.TokOwner != a.Reg+1 {
		s.Broken.is(clGrows)
	}
	if a.Token >= s.TokMax {
		s.TokMax, s.TokOwner = a.Token, a.Reg+1
	}
}

// list claims what nobody else may run, or else looks whether the plan is right.
func (m *claims) list(s *clState, p int) {
	a := &s.P[p]
	a.At = clIdle
	if a.wanted(m) && m.free(s, p) {
		next := a.Own
		next.Holds, next.Token = true, a.Read.Token
		m.write(s, p, next, true)
		return
	}
	m.propose(s, p, false)
}

// free reports whether nobody else may run the slot.
func (m *claims) free(s *clState, p int) bool {
	a := &s.P[p]
	held := false
	for r := range s.Store.Claims {
		c := &s.Store.Claims[r]
		switch {
		case !c.There || uint8(r) == a.Reg:
		case c.Holds:
			held = true
			if m.strict {
				a.Held[r] = c.Created
			}
		case a.Held[r] != 0 && (a.Held[r] == c.Created || m.againIsReleased):
			a.Released = true
		}
	}
	if held {
		a.Released, a.Wait = false, 0
		return false
	}
	if !m.strict || a.Released || a.Wait == 2 || m.noWait {
		return true
	}
	if a.Wait == 0 {
		a.Wait = 1
		for q := range s.P {
			if q != p && s.P[q].Trusted {
				s.P[q].Old, s.P[q].OldLook = true, true
			}
		}
	}
	return false
}

// replied is what follows the reply to a commit.
func (m *claims) replied(s *clState, p int, sent *clCommit, applied bool) {
	a := &s.P[p]
	a.At = clIdle
	switch sent.Kind {
	case clMake:
		a.At = clCreated
		if applied {
			a.Own, a.OwnVer, a.At = sent.Value, s.Store.Claims[a.Reg].Version, clIdle
		}
	case clPut:
		if !applied { // surely not
			a.NSent--
			a.Sent[a.NSent] = clWrite{}
			return
		}
		a.Own, a.OwnVer, a.Sent, a.NSent = sent.Value, s.Store.Claims[a.Reg].Version, [clSent]clWrite{}, 0
		if sent.Claim {
			m.begin(s, p)
		}
	case clPropose:
		if applied {
			a.see(&sent.Plan)
		} else {
			a.Planned = false
		}
	}
}
