package office

import (
	"slices"

	"github.com/quorate/quorate/backend"
)

// state is the state of a candidate between two rounds of reads.
type state int

const (
	arriving state = iota // it has not tried anything yet
	queueing              // it is to wait in the queue, without an entry so far
	waiting               // its queue entry was sent
)

// step is the next step of a candidate.
type step int

const (
	begin       step = iota + 1 // create the limit: the name is not in use
	raise                       // raise the number to the highest known, at least 1
	dropMarks                   // delete the lowest of too many marks
	clearStray                  // clear a leader key of an earlier campaign
	settleDoubt                 // replace the marks that a take in doubt names
	startAnew                   // give up this campaign's keys, and begin under another nonce
	leave                       // delete the own queue entry, then lead
	recognize                   // the leader key is the own
	takeAtOnce                  // take a free seat without a queue entry
	refuse                      // it only tries, and no seat is free for it
	join                        // create the queue entry
	rerank                      // put the own priority into the queue entry
	takeInTurn                  // take a free seat from the head of the queue
	waitBehind                  // watch the entry ahead
	waitAtHead                  // watch tenure/
	look                        // do a round of reads: the watch does not show who is next
)

// decision is a step, the seat that it is about, and for waitBehind the entry
// ahead.
type decision struct {
	step  step
	seat  int
	ahead backend.Entry
}

// position is what a candidate knows besides what it reads.
type position struct {
	state   state
	tries   bool // it never queues
	limited bool // there is to be a limit
	nonce   string
	entry   string // the key of its queue entry
	session string
	strict  bool
	rank    int        // its priority
	highest []tenureID // ever seen, by seat
	doubt   doubt      // of a take; all marks exist
	stray   func(nonce string) bool
}

// decide returns the first thing that a round of reads calls for, in the order
// of the model (integration/model, election_decide.go). The seats that may be
// taken are open.
func decide(p *position, r *round, open []seat) decision {
	place := slices.IndexFunc(r.queue, func(w waiter) bool { return w.Key == p.entry })
	if p.limited && !r.limit.exists {
		return decision{step: begin}
	}
	for i := range r.seats {
		if r.seats[i].outdated(p.known(i).Number) {
			return decision{step: raise, seat: i}
		}
	}
	for i := range r.seats {
		l := &r.seats[i].leader
		if l.exists && l.entry.Lease == p.session && l.doc.Nonce != p.nonce && p.stray(l.doc.Nonce) {
			return decision{step: clearStray, seat: i}
		}
	}
	for i := range r.seats {
		if l := &r.seats[i].leader; l.exists && l.entry.Lease == p.session && l.doc.Nonce == p.nonce {
			return decision{step: p.own(&r.seats[i], p.known(i), place), seat: i}
		}
	}
	switch {
	case p.doubt.open():
		return decision{step: settleDoubt}
	case place < 0 && p.state == waiting:
		return decision{step: startAnew}
	case place < 0:
		return p.arrive(len(r.queue), open)
	case r.queue[place].doc.Priority != p.rank:
		return decision{step: rerank}
	}
	return p.inQueue(r, place, open)
}

func (p *position) known(seat int) tenureID {
	if seat < len(p.highest) {
		return p.highest[seat]
	}
	return tenureID{}
}

// own is for a seat that is the candidate's: its take was applied, though the
// reply never came.
func (p *position) own(s *seat, known tenureID, place int) step {
	_, marked := s.find(markName{tenureID: s.leader.doc.tenureID})
	switch {
	case !marked || known != s.leader.doc.tenureID:
		return startAnew
	case place >= 0:
		return leave
	}
	return recognize
}

// arrive is for a candidate without a queue entry, when others wait.
func (p *position) arrive(others int, open []seat) decision {
	if p.state == arriving && others == 0 {
		for i := range open {
			s := &open[i]
			switch {
			case s.leader.exists:
			case p.tries && s.number() == 0:
				return decision{step: raise, seat: i}
			case p.tries && !s.takeable():
				return decision{step: dropMarks, seat: i}
			case s.takeable() && (!p.strict || s.clean()):
				return decision{step: takeAtOnce, seat: i}
			}
		}
	}
	if p.tries {
		return decision{step: refuse}
	}
	return decision{step: join}
}

// inQueue is for a candidate with a queue entry: it takes a free seat if it is
// the named successor, or if it is the head and no named successor waits.
func (p *position) inQueue(r *round, place int, open []seat) decision {
	first := p.atHead(open)
	switch {
	case first.step == look || place > 0:
	default:
		return first // the head, and nobody is named
	}
	for i := range open {
		s := &open[i]
		if s.leader.exists || s.number() == 0 {
			continue
		}
		named := slices.IndexFunc(r.queue, func(w waiter) bool { return nonceOf(w.Entry) == s.named() })
		switch {
		case named != place && (place > 0 || named >= 0):
			if place == 0 {
				return decision{step: waitBehind, ahead: r.queue[named].Entry}
			}
		case !s.takeable():
			return decision{step: dropMarks, seat: i}
		default:
			return decision{step: takeInTurn, seat: i}
		}
	}
	if place > 0 {
		return decision{step: waitBehind, ahead: r.queue[place-1].Entry}
	}
	return decision{step: waitAtHead}
}

// atHead is for the head of the queue, by what tenure/ shows alone. Only the head
// creates the first mark, or a crowd would create one each.
func (p *position) atHead(open []seat) decision {
	for i := range open {
		s := &open[i]
		switch {
		case s.number() == 0:
			return decision{step: raise, seat: i}
		case s.leader.exists:
		case s.named() != "" && s.named() != p.nonce:
			return decision{step: look} // that may wait, or not
		case !s.takeable():
			return decision{step: dropMarks, seat: i}
		default:
			return decision{step: takeInTurn, seat: i}
		}
	}
	return decision{step: waitAtHead}
}

// byWatch is atHead for what a watch of tenure/ shows. Where there are priorities,
// the queue is read before a seat is taken.
func (p *position) byWatch(v *view, open []seat) decision {
	next := p.atHead(open)
	if next.step == takeInTurn && v.order.priorities {
		next.step = look
	}
	return next
}
