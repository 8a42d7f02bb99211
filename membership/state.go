package membership

import (
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
)

// state is the directory as of one delivery of the watch. It is never changed.
type state struct {
	number  uint64 // counts deliveries
	at      time.Time
	records map[string]*record // by name, marks too
	holders map[string]*record // by ID: the entry that has it
	marks   []*record
	strange map[string]bool // keys of what could not be read

	leftRank         map[string]uint64 // by ID: of the newest incarnation that left
	leftIncarnations map[string]bool
}

// newState reads what the watch delivered; what has not changed since the last
// state is taken from it.
func newState(last *state, dir string, entries []backend.Entry, now time.Time, complain func(error)) *state {
	s := &state{
		number: last.number + 1, at: now,
		records: make(map[string]*record, len(entries)),
		holders: make(map[string]*record, len(entries)),
	}
	for _, e := range entries {
		r := last.records[e.Key[len(dir)+1:]]
		if r == nil || r.version != e.Version || r.modified != e.Modified || r.created != e.Created || r.lease != e.Lease {
			fresh, err := parse(dir, e)
			if err != nil {
				s.complain(last, e.Key, err, complain)
				continue
			}
			if fresh.seen = now; r != nil {
				fresh.seen = r.seen
			}
			r = fresh
		}
		s.records[r.name] = r
		if r.left {
			s.mark(r)
		}
	}
	first := make(map[string]uint64, len(s.records)) // by incarnation: its rank
	for _, r := range s.records {
		if rank, ok := first[r.doc.Incarnation]; !r.left && (!ok || r.rank() < rank) {
			first[r.doc.Incarnation] = r.rank()
		}
	}
	for _, r := range s.records {
		if r.rank() > first[r.doc.Incarnation] {
			continue // sent before another, landed after it
		}
		if !r.left && !s.hidden(r) && (s.holders[r.id] == nil || newer(s.holders[r.id], r) < 0) {
			s.holders[r.id] = r
		}
	}
	return s
}

func (s *state) mark(r *record) {
	if s.leftRank == nil {
		s.leftRank, s.leftIncarnations = make(map[string]uint64), make(map[string]bool)
	}
	s.marks = append(s.marks, r)
	s.leftRank[r.id] = max(s.leftRank[r.id], r.rank())
	s.leftIncarnations[r.doc.Incarnation] = true
}

// complain says once that an entry cannot be read. The others can: one strange
// key is no reason to know nobody.
func (s *state) complain(last *state, key string, err error, complain func(error)) {
	if s.strange == nil {
		s.strange = make(map[string]bool)
	}
	s.strange[key] = true
	if !last.strange[key] {
		complain(err)
	}
}

// hidden reports whether an entry is a leftover: its incarnation has left, and
// this landed late, or one that came to the ID after it has left.
func (s *state) hidden(r *record) bool {
	return s.leftIncarnations[r.doc.Incarnation] || r.rank() < s.leftRank[r.id]
}

// left reports whether a member that was shown has left, rather than vanished.
func (s *state) left(m *Member) bool {
	return s.leftIncarnations[m.Incarnation] || m.rank < s.leftRank[m.ID]
}

// members returns who is there, by ID.
func (s *state) members() []Member {
	all := make([]Member, 0, len(s.holders))
	for _, r := range s.holders {
		m := r.doc.member(r.name)
		m.rank, m.update = r.rank(), r.doc.Update
		all = append(all, m)
	}
	slices.SortFunc(all, byID)
	return all
}
