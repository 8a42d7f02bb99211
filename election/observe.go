package election

import (
	"context"
	"fmt"
	"iter"
	"maps"

	"github.com/quorate/quorate/backend"
)

// Leader is the leader as the store shows it. The zero Leader says that no
// process leads.
type Leader struct {
	ID   string
	Term uint64
	Meta map[string]string
}

// IsZero reports whether no process leads.
func (l Leader) IsZero() bool { return l.Term == 0 }

// Leader reads the leader from the store. If no process leads the error is
// ErrNoLeader. By the time it returns another process may lead. Other errors:
// backend.ErrUnavailable, ErrDenied, ErrFormat, ErrClosed.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	read, err := e.store.Read(ctx, backend.Key(e.keys.leader))
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

// Observe yields the present leader, and then each change that it sees. The zero
// Leader says that no process leads. Observe may skip leaders that come and go
// quickly, never the last one. A leader with a lower term than was seen before,
// which only a restore of the store can bring, counts as none.
//
// Observe ends when ctx does, with the cause as its last error. It continues
// through outages, and yields nothing while the store is unavailable. Other last
// errors: backend.ErrFormat, ErrClosed.
func (e *Election) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		fail := func(err error) { yield(Leader{}, fmt.Errorf("election %q: %w", e.name, err)) }
		w, err := e.store.Watch(backend.Key(e.keys.leader))
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

// leaderOf returns whose the leader key is; zero if it is nobody's.
func (e *Election) leaderOf(entries []backend.Entry) (tenure, Leader, error) {
	if len(entries) == 0 {
		return tenure{}, Leader{}, nil
	}
	key := parseLeader(entries[0])
	if key.err != nil {
		return tenure{}, Leader{}, key.err
	}
	t, leader := e.holderOf(key)
	return t, leader, nil
}

// holderOf is leaderOf of a leader key that was read.
func (e *Election) holderOf(key leaderKey) (tenure, Leader) {
	if key.doc.Number < e.highestSeen().Number || key.doc.Number == 0 {
		return tenure{}, Leader{}
	}
	e.see(key.doc.tenure)
	return key.doc.tenure, Leader{ID: key.doc.Holder, Term: key.doc.Number, Meta: maps.Clone(key.doc.Meta)}
}
