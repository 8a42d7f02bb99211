package office

import (
	"cmp"
	"context"
	"path"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/trust"
)

// view is the directory tenure/ as it was at one instant.
type view struct {
	limit limitKey
	order orderKey
	seats []seat // by number: all that there are, and all that have keys
}

// limitKey is the limit, if it exists. If its value cannot be read there is no
// seat to take.
type limitKey struct {
	exists bool
	entry  backend.Entry
	number int
}

// orderKey is the order, if it exists. If its value cannot be read there may be
// priorities.
type orderKey struct {
	exists     bool
	entry      backend.Entry
	priorities bool
}

// seat is what tenure/ shows of one seat.
type seat struct {
	leader leaderKey
	marks  []mark // highest first
}

// leaderKey is a leader key, if it exists. If its value cannot be read, the
// seat is taken by an unknown tenure: err says so, and doc is zero.
type leaderKey struct {
	exists bool
	entry  backend.Entry
	doc    leaderDocument
	err    error
}

// mark is a mark. If its value cannot be read, its name still has the number,
// and the mark is not clean.
type mark struct {
	markName
	entry backend.Entry
	doc   markDocument
}

// round is what a round of reads shows: first the queue, then tenure/.
type round struct {
	view
	started trust.Instant // before the reads
	queue   []waiter      // in the order in which they are served
}

// waiter is a queue entry. If its value cannot be read, doc is zero and err says
// why.
type waiter struct {
	backend.Entry
	doc entryDocument
	err error
}

// read does a round of linearizable reads.
func (o *Office) read(ctx context.Context) (*round, error) {
	r := &round{started: trust.Now()}
	read, err := o.store.Read(ctx, backend.Dir(o.keys.queue), backend.Dir(o.keys.tenure))
	if err != nil {
		return nil, err
	}
	r.queue = o.queueOf(read[0])
	r.view = o.viewOf(read[1])
	return r, nil
}

// queueOf returns the entries of waiting candidates: those with a higher priority
// first, and else in the order of creation. A key that no session owns is not a
// candidate's.
func (o *Office) queueOf(entries []backend.Entry) []waiter {
	queue := make([]waiter, 0, len(entries))
	for _, entry := range entries {
		if entry.Lease == "" {
			o.unreadable(entry.Key, errNoSession)
			continue
		}
		w := waiter{Entry: entry}
		if w.err = decode(entry, &w.doc); w.err != nil {
			o.unreadable(entry.Key, w.err)
			w.doc = entryDocument{}
		}
		queue = append(queue, w)
	}
	slices.SortFunc(queue, func(a, b waiter) int {
		return cmp.Or(cmp.Compare(b.doc.Priority, a.doc.Priority), cmp.Compare(a.Created, b.Created), cmp.Compare(a.Key, b.Key))
	})
	return queue
}

// viewOf decodes the entries of tenure/, and remembers the highest numbers.
func (o *Office) viewOf(entries []backend.Entry) view {
	v, problems := o.parse(entries)
	for _, p := range problems {
		o.unreadable(p.key, p.err)
	}
	for i := range v.seats {
		s := &v.seats[i]
		if len(s.marks) > 0 {
			o.see(i, s.marks[0].tenureID)
		}
		o.see(i, s.leader.doc.tenureID)
	}
	return v
}

// problem is a key that this version cannot read.
type problem struct {
	key string
	err error
}

func (o *Office) parse(entries []backend.Entry) (v view, problems []problem) {
	v.seats = make([]seat, 1)
	for _, entry := range entries {
		if entry.Key == o.keys.limit && o.floor != "" {
			var doc limitDocument
			if err := decode(entry, &doc); err != nil {
				problems = append(problems, problem{entry.Key, err})
				doc = limitDocument{}
			}
			v.limit = limitKey{exists: true, entry: entry, number: min(doc.Number, MaxSeats)}
			continue
		}
		if entry.Key == o.keys.order && !o.keys.seats {
			doc := orderDocument{Priorities: true}
			if err := decode(entry, &doc); err != nil {
				problems = append(problems, problem{entry.Key, err})
			}
			v.order = orderKey{exists: true, entry: entry, priorities: doc.Priorities}
			continue
		}
		at, name, err := o.keys.split(path.Base(entry.Key))
		if err != nil {
			problems = append(problems, problem{entry.Key, err})
			continue
		}
		v.grow(at + 1)
		if name == leaderName {
			v.seats[at].leader = parseLeader(entry)
			if err := v.seats[at].leader.err; err != nil {
				problems = append(problems, problem{entry.Key, err})
			}
			continue
		}
		parsed, err := parseMark(name)
		if err != nil {
			problems = append(problems, problem{entry.Key, err})
			continue
		}
		m := mark{markName: parsed, entry: entry}
		if err := decode(entry, &m.doc); err != nil {
			problems = append(problems, problem{entry.Key, err})
			m.doc = markDocument{}
		}
		v.seats[at].marks = append(v.seats[at].marks, m)
	}
	if o.keys.seats {
		v.grow(v.limit.number)
	}
	for i := range v.seats {
		slices.SortFunc(v.seats[i].marks, func(a, b mark) int {
			return cmp.Or(cmp.Compare(b.Number, a.Number), cmp.Compare(b.entry.Key, a.entry.Key))
		})
	}
	return v, problems
}

func (v *view) grow(n int) {
	if n > len(v.seats) {
		v.seats = append(v.seats, make([]seat, n-len(v.seats))...)
	}
}

func parseLeader(entry backend.Entry) (l leaderKey) {
	l.exists, l.entry = true, entry
	if l.err = decode(entry, &l.doc); l.err != nil {
		l.doc = leaderDocument{}
	}
	return l
}

// open returns the seats that may be taken.
func (o *Office) open(v *view) []seat {
	if !o.keys.seats {
		return v.seats[:1]
	}
	return v.seats[:max(v.limit.number, 0)]
}

// of reports whether the leader key belongs to the campaign with this nonce
// under this session.
func (l *leaderKey) of(nonce string, session *backend.Session) bool {
	return l.exists && l.doc.Nonce == nonce && l.entry.Lease == session.ID()
}

// heldBy returns the seat whose leader key belongs to the campaign with this
// nonce under this session.
func (v *view) heldBy(nonce string, session *backend.Session) (at int, ok bool) {
	at = slices.IndexFunc(v.seats, func(s seat) bool { return s.leader.of(nonce, session) })
	return at, at >= 0
}

// ledBy reports whether the owner of a queue entry leads, and was the head.
func (v *view) ledBy(nonce string) bool {
	return slices.ContainsFunc(v.seats, func(s seat) bool {
		return s.leader.exists && s.leader.doc.Nonce == nonce && s.leader.doc.InTurn
	})
}

// number returns the highest number of the marks, 0 if there is none.
func (s *seat) number() uint64 {
	if len(s.marks) == 0 {
		return 0
	}
	return s.marks[0].Number
}

// outdated reports whether the number is to be raised: the marks are lower than
// what is known, or the leader is lower than they are and does not know it yet.
func (s *seat) outdated(known uint64) bool {
	_, held := s.find(markName{tenureID: s.leader.doc.tenureID})
	return known > s.number() || held && s.leader.doc.Number < s.number()
}

// named returns the nonce of the successor that the last holder named, if any.
func (s *seat) named() string {
	for _, m := range s.marks {
		if m.Number == s.number() && m.doc.Next != "" {
			return m.doc.Next
		}
	}
	return ""
}

// takeable reports whether one commit can delete all marks, and names at least
// one.
func (s *seat) takeable() bool { return s.number() > 0 && len(s.marks) <= maxMarks }

// find returns the mark with this name.
func (s *seat) find(name markName) (mark, bool) {
	i := slices.IndexFunc(s.marks, func(m mark) bool { return m.markName == name })
	if i < 0 {
		return mark{}, false
	}
	return s.marks[i], true
}

// clean reports whether the last tenure ended in order: all marks of the
// highest number say so.
func (s *seat) clean() bool {
	for _, m := range s.marks {
		if m.Number == s.number() && !m.doc.Clean {
			return false
		}
	}
	return len(s.marks) > 0
}

// longest returns the longest TTL of any holder that the marks name, and no
// less than least.
func (s *seat) longest(least time.Duration) time.Duration {
	for _, m := range s.marks {
		least = max(least, millis(m.doc.TTLMillis))
	}
	return least
}

// unchanged are the conditions that the marks are as they were read. A commit on
// the leader key names all of them, because each take deletes all marks that it
// read: of two such commits at most one is applied.
func (s *seat) unchanged() (conditions []backend.Condition) {
	for _, m := range s.marks[:min(len(s.marks), maxMarks)] {
		conditions = append(conditions, backend.Condition{Key: m.entry.Key, Version: m.entry.Version})
	}
	return conditions
}

// deletions are the operations that delete the marks as they were read.
func (s *seat) deletions() (ops []backend.Op) {
	for _, m := range s.marks {
		ops = append(ops, backend.Delete(m.entry.Key, m.entry.Version))
	}
	return ops
}

// generation returns the driver's generation at which the view was read, 0 if
// it shows nothing.
func (v *view) generation() uint64 {
	for i := range v.seats {
		if s := &v.seats[i]; len(s.marks) > 0 {
			return s.marks[0].entry.Version.Generation
		} else if s.leader.exists {
			return s.leader.entry.Version.Generation
		}
	}
	return 0
}

// doubt is a take with an unknown outcome: its seat, and the marks that it names.
type doubt struct {
	seat  int
	marks []mark
}

// open reports whether there is one.
func (d doubt) open() bool { return len(d.marks) > 0 }

// now is a doubt about marks as the view shows them. It is none once one of them
// is gone: the take is settled then.
func (d doubt) now(v *view) doubt {
	if d.seat >= len(v.seats) {
		return doubt{}
	}
	now := doubt{seat: d.seat}
	for _, m := range d.marks {
		found, ok := v.seats[d.seat].find(m.markName)
		if !ok {
			return doubt{}
		}
		now.marks = append(now.marks, found)
	}
	return now
}
