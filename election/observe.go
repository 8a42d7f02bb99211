package election

import (
	"context"
	"fmt"
	"iter"
	"maps"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
)

// Leader is who holds the office, as the store tells it. The zero Leader
// stands for nobody.
type Leader struct {
	ID   string
	Term uint64
	Meta map[string]string
}

// IsZero reports whether nobody leads.
func (l Leader) IsZero() bool { return l.Term == 0 }

// Leader asks the store who leads. If nobody does the error is ErrNoLeader. By
// the time it returns it may be another. Other errors: backend.ErrUnavailable,
// ErrDenied, ErrFormat, ErrClosed.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	read, err := e.store.Read(ctx, driver.Key(e.keys.office))
	if err != nil {
		return Leader{}, fmt.Errorf("election %q: %w", e.name, err)
	}
	t, leader, err := e.leaderOf(read[0])
	if err != nil {
		return Leader{}, fmt.Errorf("election %q: %w", e.name, err)
	}
	if t == (tenure{}) {
		return Leader{}, fmt.Errorf("election %q: %w", e.name, ErrNoLeader)
	}
	return leader, nil
}

// Observe follows who leads: first who does now, then each change that it
// gets to see. Nobody is reported too, as the zero Leader. It skips what comes
// and goes faster than it is read, never the last. An office of a lower term
// than was seen before, which only a restore of the store can bring, counts as
// nobody's.
//
// It ends when ctx does, with the cause as its last error, and goes on through
// outages, silent while the store is away. Other last errors:
// backend.ErrFormat, ErrClosed.
func (e *Election) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		fail := func(err error) { yield(Leader{}, fmt.Errorf("election %q: %w", e.name, err)) }
		w, err := e.store.Watch(driver.Key(e.keys.office))
		if err != nil {
			fail(err)
			return
		}
		defer w.Close()
		var last tenure
		for first := true; ; first = false {
			if err := w.Next(ctx); err != nil {
				fail(err)
				return
			}
			t, leader, err := e.leaderOf(w.Entries(0))
			if err != nil {
				fail(err)
				return
			}
			if !first && t == last {
				continue
			}
			last = t
			if !yield(leader, nil) {
				return
			}
		}
	}
}

// leaderOf returns whose the office is; zero if nobody's.
func (e *Election) leaderOf(office []backend.Entry) (tenure, Leader, error) {
	one, err := decodeOne[officeDocument](office)
	if err != nil {
		return tenure{}, Leader{}, err
	}
	t, leader := e.holderOf(one)
	return t, leader, nil
}

// holderOf is leaderOf of an office that was read.
func (e *Election) holderOf(office found[officeDocument]) (tenure, Leader) {
	if !office.there || office.doc.Number < e.highest().Number {
		return tenure{}, Leader{}
	}
	e.see(office.doc.tenure)
	return office.doc.tenure, Leader{ID: office.doc.Holder, Term: office.doc.Number, Meta: maps.Clone(office.doc.Meta)}
}
