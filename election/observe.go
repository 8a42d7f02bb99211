package election

import (
	"context"
	"fmt"
	"iter"

	"github.com/quorate/quorate/internal/office"
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

func leaderOf(h office.Holder) Leader { return Leader{ID: h.ID, Term: h.Number, Meta: h.Meta} }

// Leader reads the leader from the store. If no process leads the error is
// ErrNoLeader. By the time it returns another process may lead. Other errors:
// backend.ErrUnavailable, ErrDenied, ErrFormat, ErrClosed.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	holder, err := e.office.Holder(ctx)
	if err != nil {
		return Leader{}, err
	}
	if holder.IsZero() {
		return Leader{}, fmt.Errorf("election %q: %w", e.name, ErrNoLeader)
	}
	return leaderOf(holder), nil
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
		for holder, err := range e.office.Observe(ctx) {
			if !yield(leaderOf(holder), err) {
				return
			}
		}
	}
}
