package office

import (
	"context"
	"iter"
	"maps"

	"github.com/quorate/quorate/backend"
)

// Holder is the holder of a seat as the store shows it. The zero Holder says
// that there is none.
type Holder struct {
	ID     string
	Number uint64
	Meta   map[string]string
}

// IsZero reports whether there is no holder.
func (h Holder) IsZero() bool { return h.Number == 0 }

// Holder reads the holder of the only seat from the store; zero if there is
// none. Errors: backend.ErrUnavailable, ErrDenied, ErrFormat, ErrClosed.
func (o *Office) Holder(ctx context.Context) (Holder, error) {
	read, err := o.store.Read(ctx, backend.Key(o.keys.leader(0)))
	if err != nil {
		return Holder{}, o.wrap(err)
	}
	_, holder, err := o.holderOf(read[0])
	if err != nil {
		return Holder{}, o.wrap(err)
	}
	return holder, nil
}

// Observe yields the holder of the only seat, and then each change that it
// sees. It may skip holders that come and go quickly, never the last one. A
// holder with a lower number than was seen before counts as none.
func (o *Office) Observe(ctx context.Context) iter.Seq2[Holder, error] {
	return func(yield func(Holder, error) bool) {
		fail := func(err error) { yield(Holder{}, o.wrap(err)) }
		w, err := o.store.Watch(backend.Key(o.keys.leader(0)))
		if err != nil {
			fail(err)
			return
		}
		defer w.Close()
		var last tenureID
		for first := true; ; first = false {
			if err := w.Next(ctx); err != nil {
				fail(err)
				return
			}
			t, holder, err := o.holderOf(w.Entries(0))
			if err != nil {
				fail(err)
				return
			}
			if !first && t == last {
				continue
			}
			last = t
			if !yield(holder, nil) {
				return
			}
		}
	}
}

// holderOf returns whose the leader key of the only seat is; zero if it is
// nobody's.
func (o *Office) holderOf(entries []backend.Entry) (tenureID, Holder, error) {
	if len(entries) == 0 {
		return tenureID{}, Holder{}, nil
	}
	key := parseLeader(entries[0])
	if key.err != nil {
		return tenureID{}, Holder{}, key.err
	}
	t, holder := o.holderBy(0, key)
	return t, holder, nil
}

// holderBy is holderOf of a leader key that was read.
func (o *Office) holderBy(at int, key leaderKey) (tenureID, Holder) {
	if key.doc.Number < o.highestSeen(at).Number || key.doc.Number == 0 {
		return tenureID{}, Holder{}
	}
	o.see(at, key.doc.tenureID)
	return key.doc.tenureID, Holder{ID: key.doc.Holder, Number: key.doc.Number, Meta: maps.Clone(key.doc.Meta)}
}

// Status is the state of an office as the store shows it.
type Status struct {
	Seats []SeatStatus // of an office with seats: as many as the limit says, and those that are held beyond
	Queue []Waiting    // in the order in which they are served
}

// SeatStatus is the state of a seat.
type SeatStatus struct {
	Holder Holder // zero if there is none
	// Number is the highest that the store shows, Last the ID of the process
	// that had it.
	Number uint64
	Last   string
	Clean  bool // that tenure is over, and ended in order
}

// Waiting is a waiting candidate. If its entry cannot be read, the ID is empty.
type Waiting struct {
	ID, Nonce string
	Priority  int
}

// Status reads the state of the office, in one round of reads. It changes
// nothing. Errors: backend.ErrUnavailable, ErrDenied, ErrFormat, ErrClosed.
func (o *Office) Status(ctx context.Context) (Status, error) {
	r, err := o.read(ctx)
	if err != nil {
		return Status{}, o.wrap(err)
	}
	var status Status
	for i := range r.seats {
		s, seat := &r.seats[i], SeatStatus{}
		if s.leader.err != nil {
			return Status{}, o.wrap(s.leader.err)
		}
		_, seat.Holder = o.holderBy(i, s.leader)
		if len(s.marks) > 0 {
			seat.Number, seat.Last = s.number(), s.marks[0].doc.Holder
		}
		if !seat.Holder.IsZero() && seat.Holder.Number >= seat.Number {
			seat.Number, seat.Last = seat.Holder.Number, seat.Holder.ID
		}
		seat.Clean = seat.Holder.IsZero() && s.clean()
		status.Seats = append(status.Seats, seat)
	}
	for _, w := range r.queue {
		status.Queue = append(status.Queue, Waiting{ID: w.doc.Holder, Nonce: nonceOf(w.Entry), Priority: w.doc.Priority})
	}
	return status, nil
}
