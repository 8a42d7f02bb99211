package election

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

// keys are where an election keeps its state.
type keys struct {
	queue  string // directory: queue/<nonce>, ephemeral, one per waiting candidate
	tenure string // directory: the leader key, and the marks
	leader string // tenure/leader, ephemeral: the leader
}

func keysIn(base string) keys {
	return keys{queue: base + "/queue", tenure: base + "/tenure", leader: base + "/tenure/" + leaderName}
}

const (
	leaderName  = "leader"
	spareSuffix = ".spare"
)

func (k keys) entry(nonce string) string { return k.queue + "/" + nonce }
func (k keys) mark(m markName) string    { return k.tenure + "/" + m.String() }

// tenure names one time in office. Numbers grow. The nonce tells apart tenures
// that have the same number in different histories of the store.
type tenure struct {
	Number uint64 `json:"number"`
	Nonce  string `json:"nonce"`
}

// markName is the name of a mark: <number>~<nonce> for the mark of a tenure,
// and the same with ".spare" for the second key that has the number. A mark
// that is of no tenure has a nonce of its own. A name is never used twice.
type markName struct {
	tenure
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
	return markName{tenure{Number: n, Nonce: nonce}, spare}, nil
}

// entryDocument is the value of a queue entry. The holder is there for an
// operator to read.
type entryDocument struct {
	Holder string `json:"holder"`
}

// leaderDocument is the value of the leader key. InTurn says that the leader
// was the head of the queue: no entry that was ahead of its own is left.
type leaderDocument struct {
	tenure
	Holder string            `json:"holder"`
	Meta   map[string]string `json:"meta,omitempty"`
	InTurn bool              `json:"in_turn"`
}

// markDocument is the value of a mark, whose name has the number. TTLMillis is
// how long the holder may trust itself without the store. Clean says that the
// holder ended the tenure in order.
type markDocument struct {
	Holder    string `json:"holder"`
	TTLMillis int64  `json:"ttl_ms"`
	Clean     bool   `json:"clean"`
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
