package office

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/document"
)

// format is the number of the formats of all documents below.
const format = 2

// keys are where an office keeps its state.
type keys struct {
	queue  string // directory: queue/<nonce>, ephemeral, one per waiting candidate
	tenure string // directory: the leader keys, the marks, and the limit
	limit  string // tenure/limit: the number of seats, if the name can be removed
	order  string // tenure/order: whether there are priorities, of an office with one seat
	seats  bool   // the names in tenure/ begin with the number of a seat
}

func keysIn(base string, seats bool) keys {
	tenure := base + "/tenure"
	return keys{queue: base + "/queue", tenure: tenure, limit: tenure + "/" + limitName, order: tenure + "/" + orderName, seats: seats}
}

const (
	leaderName  = "leader"
	limitName   = "limit"
	orderName   = "order"
	spareSuffix = ".spare"
)

func (k keys) entry(nonce string) string { return k.queue + "/" + nonce }
func (k keys) leader(seat int) string    { return k.tenure + "/" + k.prefix(seat) + leaderName }
func (k keys) mark(seat int, name markName) string {
	return k.tenure + "/" + k.prefix(seat) + name.String()
}

func (k keys) prefix(seat int) string {
	if !k.seats {
		return ""
	}
	return strconv.Itoa(seat) + "."
}

// split is the number of the seat in the name of a key in tenure/, and the rest.
func (k keys) split(name string) (seat int, rest string, err error) {
	if !k.seats {
		return 0, name, nil
	}
	number, rest, ok := strings.Cut(name, ".")
	seat, err = strconv.Atoi(number)
	if !ok || err != nil || seat < 0 || seat >= MaxSeats {
		return 0, "", fmt.Errorf("%w: %q does not begin with the number of a seat", backend.ErrFormat, name)
	}
	return seat, rest, nil
}

// tenureID names one time in office. Numbers grow. The nonce tells apart tenures
// that have the same number in different histories of the store.
type tenureID struct {
	Number uint64 `json:"number"`
	Nonce  string `json:"nonce"`
}

// markName is the name of a mark: <number>~<nonce> for the mark of a tenure,
// and the same with ".spare" for the second key that has the number. A mark
// that is of no tenure has a nonce of its own. A name is never used twice.
type markName struct {
	tenureID
	spare bool
}

func (m markName) String() string {
	name := strconv.FormatUint(m.Number, 10) + "~" + m.Nonce
	if m.spare {
		name += spareSuffix
	}
	return name
}

// parseMark reads what String wrote.
func parseMark(s string) (markName, error) {
	number, nonce, ok := strings.Cut(s, "~")
	nonce, spare := strings.CutSuffix(nonce, spareSuffix)
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || nonce == "" {
		return markName{}, fmt.Errorf("%w: %q is not the name of a mark", backend.ErrFormat, s)
	}
	return markName{tenureID{Number: n, Nonce: nonce}, spare}, nil
}

// entryDocument is the value of a queue entry. The holder is there for an
// operator to read.
type entryDocument struct {
	Holder   string `json:"holder"`
	Priority int    `json:"priority,omitempty"`
	// Touched counts the puts that wake the candidate behind this entry: a put of
	// the same bytes may be no change (C11).
	Touched int `json:"touched,omitempty"`
}

// leaderDocument is the value of a leader key. InTurn says that the leader
// was the head of the queue: no entry that was ahead of its own is left.
type leaderDocument struct {
	tenureID
	Holder string            `json:"holder"`
	Meta   map[string]string `json:"meta,omitempty"`
	InTurn bool              `json:"in_turn"`
}

// markDocument is the value of a mark, whose name has the number. TTLMillis is
// how long the holder may trust itself without the store. Clean says that the
// holder ended the tenure in order. Next is the nonce of the candidate that the
// holder named as its successor; it says nothing once that waits no more.
type markDocument struct {
	Holder    string `json:"holder"`
	TTLMillis int64  `json:"ttl_ms"`
	Clean     bool   `json:"clean"`
	Next      string `json:"next,omitempty"`
}

// orderDocument is the value of the order. Priorities says that a queue entry may
// have a priority, now or later. An election without the key has none so far.
type orderDocument struct {
	Priorities bool `json:"priorities"`
}

// limitDocument is the value of the limit: how many seats there are.
type limitDocument struct {
	Number int `json:"number"`
}

// floorDocument is the value of the floor: no number of a removed name is
// higher.
type floorDocument struct {
	Number uint64 `json:"number"`
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// encode cannot fail: the documents are of strings and numbers.
func encode(v any) []byte {
	data, err := document.Encode(format, v)
	if err != nil {
		panic(err)
	}
	return data
}

func decode(e backend.Entry, v any) error {
	if err := document.Decode(e.Value, format, v); err != nil {
		return fmt.Errorf("%s: %w", e.Key, err)
	}
	return nil
}
