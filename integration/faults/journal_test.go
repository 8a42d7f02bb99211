package faults

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/quorate/quorate/integration/harness"
)

// Kinds of lines. Most are about one call: begin is when it began, and the
// line's own time when it returned.
const (
	valid        = "valid"         // what is owned under token was trusted; value tells apart when it was got
	staleApplied = "stale-applied" // a write under the guard of a tenure that is over was applied; begin
	staleFenced  = "stale-fenced"  // ... was refused
	adding       = "adding"        // an Add of value begins
	added        = "added"         // it was acknowledged; token is its result
	addNever     = "add-never"     // it surely was not applied
	addDoubt     = "add-doubt"     // it may be
	flushed      = "flushed"       // value is all that this process's Tally had been given when the Flush began
	given        = "given"         // value is all that it had been given at that time
	ended        = "ended"         // the process gives no more
	numbered     = "numbered"      // token came from the Sequence
	view         = "view"          // what names the members; token is 1 if it is stale
	claimed      = "claimed"       // the Checkpoint, under term token; value is what it returned
	saving       = "saving"        // a Save of value begins
	saved        = "saved"         // it was acknowledged
	locked       = "locked"        // a call took a lock of kind what, under token; value is the permit
	resizing     = "resizing"      // a Resize to value begins
	resized      = "resized"       // it was acknowledged
	drawn        = "drawn"         // token is an ID from generator value of the process
	granted      = "granted"       // a unit of the quota; token and value are when the Take began and ended, by the wall clock
	refused      = "refused"       // no unit was left
	crowd        = "crowd"         // token clients of the storm have a session; each was answered since begin
)

// journal is the file that a process appends to, a line at a time.
type journal struct {
	mu sync.Mutex
	f  *os.File
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &journal{f: f}, err
}

func (j *journal) write(kind, what string, token uint64, value, begin int64) {
	j.append(text(harness.Now(), kind, what, token, value, begin))
}

func (j *journal) append(lines string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := io.WriteString(j.f, lines); err != nil {
		panic(err) // what is not written cannot be judged
	}
}

func text(at int64, kind, what string, token uint64, value, begin int64) string {
	return fmt.Sprintf("%d %s %s %d %d %d\n", at, kind, what, token, value, begin)
}

// line is one line of a journal.
type line struct {
	at           int64
	kind, what   string
	token        uint64
	value, begin int64
}

// reader reads a client's journal as it grows.
type reader struct{ harness.JournalReader }

// next returns the lines that have come since the last call.
func (r *reader) next() (lines []line, err error) {
	texts, err := r.Next()
	for _, text := range texts {
		l, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", r.Path, text, err)
		}
		lines = append(lines, l)
	}
	return lines, err
}

func parse(s string) (l line, err error) {
	fields := strings.Fields(s)
	if len(fields) != 6 {
		return l, fmt.Errorf("%d fields", len(fields))
	}
	l.kind, l.what = fields[1], fields[2]
	if l.token, err = strconv.ParseUint(fields[3], 10, 64); err != nil {
		return l, err
	}
	for i, into := range map[int]*int64{0: &l.at, 4: &l.value, 5: &l.begin} {
		if *into, err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return l, err
		}
	}
	return l, nil
}
