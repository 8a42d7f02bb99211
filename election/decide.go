package election

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
	raise       step = iota + 1 // create a mark with the highest number known, at least 1
	dropMarks                   // delete the lowest of too many marks
	clearStray                  // clear a leader key of an earlier campaign
	settleDoubt                 // replace the marks that a take in doubt names
	startAnew                   // give up this campaign's keys, and begin under another nonce
	leave                       // delete the own queue entry, then lead
	recognize                   // the leader key is the own
	takeAtOnce                  // take the free office without a queue entry
	join                        // create the queue entry
	takeInTurn                  // take the free office from the head of the queue
	waitBehind                  // watch the entry ahead
	waitAtHead                  // watch tenure/
)

// position is what a candidate knows besides what it reads.
type position struct {
	state   state
	nonce   string
	entry   string // the key of its queue entry
	session string
	strict  bool
	highest tenure // ever seen
	doubt   []mark // that a take with an unknown outcome names; all exist
	mine    func(nonce string) bool
}

// decide returns the first thing that a round of reads calls for, in the order
// of the model (integration/model, election_decide.go), and for waitBehind the
// entry ahead.
func decide(p *position, r *round) (step, backend.Entry) {
	none := backend.Entry{}
	place := slices.IndexFunc(r.queue, func(e backend.Entry) bool { return e.Key == p.entry })
	leader := &r.leader
	own := leader.exists && leader.entry.Lease == p.session
	switch {
	case p.highest.Number > r.number():
		return raise, none
	case own && leader.doc.Nonce != p.nonce && p.mine(leader.doc.Nonce):
		return clearStray, none
	case own && leader.doc.Nonce == p.nonce:
		_, marked := r.find(markName{tenure: leader.doc.tenure})
		switch {
		case !marked || p.highest != leader.doc.tenure:
			return startAnew, none
		case place >= 0:
			return leave, none
		}
		return recognize, none
	case len(p.doubt) > 0:
		return settleDoubt, none
	case place < 0 && p.state == waiting:
		return startAnew, none
	case place < 0 && p.state == arriving && len(r.queue) == 0 && !leader.exists && takeable(&r.view) && (!p.strict || r.clean()):
		return takeAtOnce, none
	case place < 0:
		return join, none
	case place > 0:
		return waitBehind, r.queue[place-1]
	case r.number() == 0: // only the head creates the first mark, or a crowd would create one each
		return raise, none
	case leader.exists:
		return waitAtHead, none
	case !takeable(&r.view):
		return dropMarks, none
	}
	return takeInTurn, none
}

// takeable reports whether one commit can delete all marks, and names at least
// one.
func takeable(v *view) bool { return v.number() > 0 && len(v.marks) <= maxMarks }
