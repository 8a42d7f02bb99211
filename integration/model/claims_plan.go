package model

// seats are the registrations that may have the slot.
func (m *claims) seats(s *clState, base *clPlan) (seats [clProcesses]uint8) {
	for q := range s.P {
		b := &s.P[q]
		for r := uint8(2 * q); r < uint8(2*q)+2; r++ {
			c := &s.Store.Claims[r]
			current := b.Up && b.At != clOut && b.At != clJoins && b.Trusted && b.Reg == r
			if c.There && !c.Leaving && (current || base.Owner == r+1) {
				seats[q] = r + 1 // the newest
			}
		}
	}
	return seats
}

// base is baseline: the last known plan, and without one in the store the slot
// is its holder's.
func (m *claims) base(s *clState, a *clProcess) clPlan {
	base := a.Read
	if a.There {
		return base
	}
	token := uint8(0)
	for r := range s.Store.Claims {
		if c := &s.Store.Claims[r]; c.There && c.Holds && c.Token >= token {
			base.Owner, token = uint8(r)+1, c.Token
		}
	}
	return base
}

// owner is who the next plan gives the slot to, 0 if there is no seat.
func (m *claims) owner(s *clState, base *clPlan, move bool) uint8 {
	seats := m.seats(s, base)
	had := -1
	if base.Owner != 0 {
		had = clOf(base.Owner - 1)
	}
	if had >= 0 && seats[had] != 0 && !move {
		return seats[had]
	}
	for q, r := range seats {
		if r != 0 && (q != had || !move) {
			return r
		}
	}
	return 0
}

// planNeeded says that a look at the plan is due: in the code a timer does.
func (m *claims) planNeeded(s *clState, p int) bool {
	a := &s.P[p]
	base := m.base(s, a)
	owner := m.owner(s, &base, false)
	return owner != 0 && (!a.There || !a.Mark || a.Fork || owner != a.Read.Owner)
}

// propose puts another plan if that is called for. It reports whether it did.
func (m *claims) propose(s *clState, p int, move bool) bool {
	a := &s.P[p]
	base := m.base(s, a)
	owner := m.owner(s, &base, move)
	line, fresh := !a.There || !a.Mark, !a.There || a.Fork
	if owner == 0 || !line && !fresh && owner == base.Owner {
		a.Planned = a.Leaving
		return false
	}
	if line && a.Marks[0] == 0 { // prepareLine
		s.send(p, clCommit{Kind: clBase, Make: a.name(p)})
		return !move
	}
	next := clPlan{Epoch: a.Epoch, Nonce: a.name(p), Line: a.Read.Line, Owner: owner, Token: base.Token}
	for r := range s.Store.Claims {
		if c := &s.Store.Claims[r]; c.There {
			next.Epoch = max(next.Epoch, c.Epoch)
		}
	}
	if a.There {
		next.Epoch = max(next.Epoch, a.Read.Epoch)
	}
	next.Epoch++
	if fresh || owner != base.Owner {
		next.Token = next.Epoch
	}
	c := clCommit{Kind: clPropose, Own: a.OwnVer, Before: clPlan{There: a.There, Version: a.Read.Version}}
	if line {
		next.Line = next.Nonce
		c.Make = next.Line
		if !m.marksKept {
			c.Delete = a.Marks
		}
	} else {
		c.Mark = next.Line
	}
	c.Plan = next
	a.Planned = a.Leaving
	s.send(p, c)
	return true
}
