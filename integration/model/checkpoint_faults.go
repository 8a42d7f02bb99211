package model

// disasters are what happens to the store, and the guard's move to another.
func (m *checkpoint) disasters(s ckState, took func(Step, ckState)) {
	if s.Moves > 0 {
		n := s
		n.Moves--
		n.Office++
		took(Step{"office", "the guard's tenure ends, the next begins", true}, n)
	}
	if s.Deletions > 0 && s.Store.Doc.There {
		n := s
		n.Deletions--
		n.Store.Doc = ckDocument{}
		m.wentBack(&n)
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
		n.Store, n.Snapshot, n.Snapped = s.Snapshot, ckStore{}, false
		n.Gen++
		if !m.revisions && !m.lateCommits {
			// As docs/operations.md says: all servers are stopped, so that
			// nothing from before lands after it.
			for i := range n.Flights {
				if c := n.Flights[i]; c.By != 0 && c.Waited {
					a := &n.Workers[c.By-1]
					a.Doubt = a.Doubt || !c.Claim
					a.At++
				}
				n.Flights[i] = ckCommit{}
			}
		}
		m.wentBack(&n)
		took(Step{"store", "the snapshot is restored", true}, n)
	}
}

// wentBack takes the ghosts back to what the store now has. Saves that are
// under way may still be stored.
func (m *checkpoint) wentBack(s *ckState) {
	doc := s.Store.Doc
	s.Best, s.Open, s.Claimed = doc.Value, 0, 0
	for w, a := range s.Workers {
		if a.At == ckSaving || a.At == ckResave {
			s.Open |= 1 << a.Present
		}
		if a.At >= ckOwns && a.At != ckFenced && doc.There && doc.Token == a.Token {
			s.Claimed = uint8(w) + 1
		}
	}
	for _, c := range s.Flights {
		if c.By != 0 && !c.Claim {
			s.Open |= 1 << c.Doc.Value
		}
	}
}
