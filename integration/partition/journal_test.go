package partition

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/partition"
)

// Kinds of lines.
const (
	began        = 'b' // the body was called
	valid        = 'v' // the ownership was trusted after the clock was read
	moved        = 'm' // the body returns, since another member is to have the slot
	ended        = 'e' // the body returns, for another reason
	staleApplied = 'a' // a guarded write that was sent after the body had returned was applied
	staleFenced  = 'f' // ... was refused
)

// drain is for how long a body has things to finish when its slot is to move:
// who does not wait for that begins too early.
const drain = 100 * time.Millisecond

// journal is the file a worker appends to, a line at a time.
type journal struct{ f *os.File }

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &journal{f}, err
}

// run is the body of a slot.
func (j *journal) run(ctx context.Context, s *partition.Slot) {
	j.line(harness.Now(), began, s)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		// The clock is read first: a line that says so was true at its time,
		// also if the process stood still since.
		if now := harness.Now(); s.Valid() {
			j.line(now, valid, s)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	kind := ended
	if errors.Is(context.Cause(ctx), partition.ErrMoved) {
		kind = moved
		pause(drain)
	}
	j.line(harness.Now(), kind, s)
}

func (j *journal) line(at int64, kind rune, s *partition.Slot) {
	if _, err := fmt.Fprintf(j.f, "%d %c %d %d\n", at, kind, s.Number(), s.Token()); err != nil {
		panic(err) // what is not written cannot be judged
	}
}

// line is one line of a journal.
type line struct {
	at    int64 // monotonic, nanoseconds
	kind  rune
	slot  int
	token uint64
}

// reader reads a worker's journal as it grows.
type reader struct{ harness.JournalReader }

// next returns the lines that have come since the last call.
func (r *reader) next() (lines []line, err error) {
	texts, err := r.Next()
	for _, text := range texts {
		var l line
		if _, err := fmt.Sscanf(text, "%d %c %d %d", &l.at, &l.kind, &l.slot, &l.token); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", r.Path, text, err)
		}
		lines = append(lines, l)
	}
	return lines, err
}
