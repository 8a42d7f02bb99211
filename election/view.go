package election

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
	leader leaderKey
	marks  []mark // highest first
}

// leaderKey is the leader key, if it exists. If its value cannot be read, the
// office is taken by an unknown tenure: err says so, and doc is zero.
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
	started trust.Instant   // before the reads
	queue   []backend.Entry // by creation
}

// read does a round of linearizable reads.
func (e *Election) read(ctx context.Context) (*round, error) {
	r := &round{started: trust.Now()}
	read, err := e.store.Read(ctx, backend.Dir(e.keys.queue), backend.Dir(e.keys.tenure))
	if err != nil {
		return nil, err
	}
	r.queue = e.queueOf(read[0])
	r.view = e.viewOf(read[1])
	return r, nil
}

// queueOf returns the entries of waiting candidates in the order of creation.
// A key that no session owns is not a candidate's.
func (e *Election) queueOf(entries []backend.Entry) []backend.Entry {
	queue := make([]backend.Entry, 0, len(entries))
	for _, entry := range entries {
		if entry.Lease == "" {
			e.unreadable(entry.Key, errNoSession)
			continue
		}
		if err := decode(entry, new(entryDocument)); err != nil {
			e.unreadable(entry.Key, err)
		}
		queue = append(queue, entry)
	}
	slices.SortFunc(queue, func(a, b backend.Entry) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.Key, b.Key))
	})
	return queue
}

// viewOf decodes the entries of tenure/, and remembers the highest number.
func (e *Election) viewOf(entries []backend.Entry) (v view) {
	v, problems := parseView(entries)
	for _, p := range problems {
		e.unreadable(p.key, p.err)
	}
	if len(v.marks) > 0 {
		e.see(v.marks[0].tenure)
	}
	e.see(v.leader.doc.tenure)
	return v
}

// problem is a key that this version cannot read.
type problem struct {
	key string
	err error
}

func parseView(entries []backend.Entry) (v view, problems []problem) {
	for _, entry := range entries {
		name := path.Base(entry.Key)
		if name == leaderName {
			v.leader = parseLeader(entry)
			if v.leader.err != nil {
				problems = append(problems, problem{entry.Key, v.leader.err})
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
		v.marks = append(v.marks, m)
	}
	slices.SortFunc(v.marks, func(a, b mark) int {
		return cmp.Or(cmp.Compare(b.Number, a.Number), cmp.Compare(b.entry.Key, a.entry.Key))
	})
	return v, problems
}

func parseLeader(entry backend.Entry) (l leaderKey) {
	l.exists, l.entry = true, entry
	if l.err = decode(entry, &l.doc); l.err != nil {
		l.doc = leaderDocument{}
	}
	return l
}

// of reports whether the leader key belongs to the campaign with this nonce
// under this session.
func (l *leaderKey) of(nonce string, session *backend.Session) bool {
	return l.exists && l.doc.Nonce == nonce && l.entry.Lease == session.ID()
}

// number returns the highest number of the marks, 0 if there is none.
func (v *view) number() uint64 {
	if len(v.marks) == 0 {
		return 0
	}
	return v.marks[0].Number
}

// find returns the mark with this name.
func (v *view) find(name markName) (mark, bool) {
	i := slices.IndexFunc(v.marks, func(m mark) bool { return m.markName == name })
	if i < 0 {
		return mark{}, false
	}
	return v.marks[i], true
}

// doubtful returns the marks that a take in doubt names as they are now, nil
// once one of them is gone: the take is settled then.
func (v *view) doubtful(named []mark) (now []mark) {
	for _, m := range named {
		found, ok := v.find(m.markName)
		if !ok {
			return nil
		}
		now = append(now, found)
	}
	return now
}

// clean reports whether the last tenure ended in order: all marks of the
// highest number say so.
func (v *view) clean() bool {
	for _, m := range v.marks {
		if m.Number == v.number() && !m.doc.Clean {
			return false
		}
	}
	return len(v.marks) > 0
}

// longest returns the longest TTL of any holder that the marks name, and no
// less than least.
func (v *view) longest(least time.Duration) time.Duration {
	for _, m := range v.marks {
		least = max(least, millis(m.doc.TTLMillis))
	}
	return least
}

// generation returns the driver's generation at which the view was read, 0 if
// it shows nothing.
func (v *view) generation() uint64 {
	if len(v.marks) == 0 {
		return v.leader.entry.Version.Generation
	}
	return v.marks[0].entry.Version.Generation
}

// unchanged are the conditions that all marks of the view are as they were
// read. A commit on the leader key names them, because each take deletes all
// marks that it read: of two such commits at most one is applied.
func (v *view) unchanged() (conditions []backend.Condition) {
	for _, m := range v.marks {
		conditions = append(conditions, backend.Condition{Key: m.entry.Key, Version: m.entry.Version})
	}
	return conditions
}
