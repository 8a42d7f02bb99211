package election

import (
	"context"
	"fmt"
)

// Status is the state of an election as the store shows it, for reports. A
// decision that is made on it comes too late.
type Status struct {
	// Leader is zero if no process leads.
	Leader Leader
	// Term is the highest that the store shows, zero if it shows none. Holder is
	// the ID of the process that had it.
	Term   uint64
	Holder string
	// Clean: that term is over, and its holder resigned. It is false while a
	// process leads.
	Clean bool
	// Queue has the waiting candidates, in the order in which they will be served.
	Queue []Candidate
}

// Candidate is a waiting candidate.
type Candidate struct {
	// ID is its Options.ID; several may have the same.
	ID string
	// Nonce is unique to one campaign: the last component of its key.
	Nonce string
}

// Status reads the state of the election, in one round of reads. It
// changes nothing. Errors: backend.ErrUnavailable,
// ErrDenied, ErrFormat, ErrClosed.
func (e *Election) Status(ctx context.Context) (Status, error) {
	r, err := e.read(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("election %q: %w", e.name, err)
	}
	if r.leader.err != nil {
		return Status{}, fmt.Errorf("election %q: %w", e.name, r.leader.err)
	}
	var status Status
	_, status.Leader = e.holderOf(r.leader)
	if len(r.marks) > 0 {
		status.Term, status.Holder = r.number(), r.marks[0].doc.Holder
	}
	if !status.Leader.IsZero() && status.Leader.Term >= status.Term {
		status.Term, status.Holder = status.Leader.Term, status.Leader.ID
	}
	status.Clean = status.Leader.IsZero() && r.clean()
	for _, entry := range r.queue {
		var doc entryDocument // without a holder if it cannot be read
		_ = decode(entry, &doc)
		status.Queue = append(status.Queue, Candidate{ID: doc.Holder, Nonce: nonceOf(entry)})
	}
	return status, nil
}
