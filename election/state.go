package election

import (
	"cmp"
	"context"
	"path"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/trust"
)

// state is what one round of reads showed. The parts were read in the order of
// the fields: what a later one shows is never older.
type state struct {
	started trust.Instant // when the round began

	queue  []backend.Entry // by creation
	term   found[termDocument]
	marks  []mark // highest first
	office found[officeDocument]
}

// found is a decoded entry; there is false if the key was absent.
type found[T any] struct {
	there bool
	entry backend.Entry
	doc   T
}

type mark struct {
	tenure
	entry backend.Entry
	doc   markDocument
}

// read does one round of reads. Its order is the protocol's: the queue, the
// term, the marks, and the office last.
func (e *Election) read(ctx context.Context) (*state, error) {
	st := &state{started: trust.Now()}
	read, err := e.store.Read(ctx, driver.Dir(e.keys.queue), driver.Key(e.keys.term), driver.Dir(e.keys.tenure), driver.Key(e.keys.office))
	if err != nil {
		return nil, err
	}
	st.queue = read[0]
	slices.SortFunc(st.queue, func(a, b backend.Entry) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.Key, b.Key))
	})
	if st.term, err = decodeOne[termDocument](read[1]); err != nil {
		return nil, err
	}
	if st.marks, err = decodeMarks(read[2]); err != nil {
		return nil, err
	}
	if st.office, err = decodeOne[officeDocument](read[3]); err != nil {
		return nil, err
	}
	e.remember(st)
	return st, nil
}

// checkQueue fails if an entry is of a version that waits by other rules. It is
// for who campaigns: to resign and to clear up, the keys are enough.
func (st *state) checkQueue() error {
	for _, entry := range st.queue {
		if err := decode(entry, new(entryDocument)); err != nil {
			return err
		}
	}
	return nil
}

func decodeOne[T any](entries []backend.Entry) (d found[T], err error) {
	if len(entries) == 0 {
		return d, nil
	}
	d.there, d.entry = true, entries[0]
	return d, decode(d.entry, &d.doc)
}

func decodeMarks(entries []backend.Entry) ([]mark, error) {
	marks := make([]mark, len(entries))
	for i, entry := range entries {
		t, err := parseTenure(path.Base(entry.Key))
		if err != nil {
			return nil, err
		}
		marks[i] = mark{tenure: t, entry: entry}
		if err := decode(entry, &marks[i].doc); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(marks, func(a, b mark) int {
		return cmp.Or(cmp.Compare(b.Number, a.Number), cmp.Compare(b.Nonce, a.Nonce))
	})
	return marks, nil
}

// remember keeps the highest tenure this process has ever seen in the
// election: numbers must not repeat even if the store forgets them.
func (e *Election) remember(st *state) {
	e.see(st.term.doc.tenure)
	if len(st.marks) > 0 {
		e.see(st.marks[0].tenure)
	}
	e.see(st.office.doc.tenure)
}

func (e *Election) see(t tenure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.Number > e.seen.Number {
		e.seen = t
	}
}

func (e *Election) highest() tenure {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen
}

// entryOf returns the queue entry of nonce, and the index it has.
func (st *state) entryOf(key string) (backend.Entry, int) {
	i := slices.IndexFunc(st.queue, func(entry backend.Entry) bool { return entry.Key == key })
	if i < 0 {
		return backend.Entry{}, i
	}
	return st.queue[i], i
}

func (st *state) markOf(t tenure) (mark, bool) {
	i := slices.IndexFunc(st.marks, func(m mark) bool { return m.tenure == t })
	if i < 0 {
		return mark{}, false
	}
	return st.marks[i], true
}

// longest returns the longest TTL of any holder that the state knows of, and
// no less than least.
func (st *state) longest(least time.Duration) time.Duration {
	least = max(least, millis(st.term.doc.TTLMillis))
	for _, m := range st.marks {
		least = max(least, millis(m.doc.TTLMillis))
	}
	return least
}
