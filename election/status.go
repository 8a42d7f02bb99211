package election

import "context"

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
	// Priority is its Options.Priority.
	Priority int
}

// Status reads the state of the election, in one round of reads. It
// changes nothing. Errors: backend.ErrUnavailable,
// ErrDenied, ErrFormat, ErrClosed.
func (e *Election) Status(ctx context.Context) (Status, error) {
	state, err := e.office.Status(ctx)
	if err != nil {
		return Status{}, err
	}
	only := state.Seats[0]
	status := Status{Leader: leaderOf(only.Holder), Term: only.Number, Holder: only.Last, Clean: only.Clean}
	for _, w := range state.Queue {
		status.Queue = append(status.Queue, Candidate{ID: w.ID, Nonce: w.Nonce, Priority: w.Priority})
	}
	return status, nil
}
