package election

import (
	"context"
	"fmt"
	"path"
)

// Status is the state of an election as the store shows it, for those who
// report on it. What acts on it comes too late.
type Status struct {
	// Leader holds the office; zero if nobody does.
	Leader Leader
	// Term is the highest that the store shows, zero if it shows none, and
	// Holder who it says it is of.
	Term   uint64
	Holder string
	// Clean: that term is over, and was given up in order. It is false while
	// somebody leads.
	Clean bool
	// Queue are those who wait, in the order in which they will be served.
	Queue []Candidate
}

// Candidate is who waits for the office.
type Candidate struct {
	// ID is its Options.ID; several may have the same.
	ID string
	// Nonce is unique to one campaign: the last component of its key.
	Nonce string
}

// Status reads the state of the election, in one round of reads. Nothing is
// changed, and nobody campaigns for it. Errors: backend.ErrUnavailable,
// ErrDenied, ErrFormat, ErrClosed.
func (e *Election) Status(ctx context.Context) (Status, error) {
	st, err := e.read(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("election %q: %w", e.name, err)
	}
	status := Status{Term: st.term.doc.Number, Holder: st.term.doc.Holder}
	holder, leader := e.holderOf(st.office)
	status.Leader = leader
	if len(st.marks) > 0 && st.marks[0].Number > status.Term {
		status.Term, status.Holder = st.marks[0].Number, st.marks[0].doc.Holder
	}
	if leader.Term >= status.Term && !leader.IsZero() {
		status.Term, status.Holder = leader.Term, leader.ID
	}
	status.Clean = leader.IsZero() && st.term.doc.Clean && st.term.doc.Number == status.Term
	for _, entry := range st.queue {
		nonce := path.Base(entry.Key)
		if nonce == holder.Nonce {
			continue // the leader keeps its entry
		}
		var doc entryDocument
		if err := decode(entry, &doc); err != nil {
			return Status{}, fmt.Errorf("election %q: %w", e.name, err)
		}
		status.Queue = append(status.Queue, Candidate{ID: doc.Holder, Nonce: nonce})
	}
	return status, nil
}
