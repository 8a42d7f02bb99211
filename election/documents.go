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
const format = 1

// keys are where an election keeps its state.
type keys struct {
	queue  string // directory: queue/<nonce>, ephemeral, one per campaign
	office string // ephemeral: who leads
	term   string // persistent: the last tenure, and how it ended
	tenure string // directory: tenure/<number>~<nonce>, persistent marks, normally one
}

func newKeys(name string) (keys, error) {
	base, err := backend.Path(backend.KindElection, name)
	if err != nil {
		return keys{}, err
	}
	return keys{
		queue:  base + "/queue",
		office: base + "/office",
		term:   base + "/term",
		tenure: base + "/tenure",
	}, nil
}

func (k keys) entry(nonce string) string { return k.queue + "/" + nonce }
func (k keys) mark(t tenure) string      { return k.tenure + "/" + t.String() }

// tenure names one time in office. Numbers grow; the nonce tells apart tenures
// that came to have the same number in different histories of the store.
type tenure struct {
	Number uint64 `json:"number"`
	Nonce  string `json:"nonce"`
}

func (t tenure) String() string { return strconv.FormatUint(t.Number, 10) + "~" + t.Nonce }

// parseTenure reads what String wrote.
func parseTenure(s string) (tenure, error) {
	number, nonce, ok := strings.Cut(s, "~")
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || nonce == "" {
		return tenure{}, fmt.Errorf("%w: %q is not a tenure", backend.ErrFormat, s)
	}
	return tenure{Number: n, Nonce: nonce}, nil
}

// entryDocument is the value of a queue entry. The key says it all, save for
// the format; the holder is there for an operator to read.
type entryDocument struct {
	Holder string `json:"holder"`
}

// officeDocument is the value of the office.
type officeDocument struct {
	tenure
	Holder string            `json:"holder"`
	Meta   map[string]string `json:"meta,omitempty"`
}

// termDocument is the value of term: the highest tenure known, and whether it
// was released by its holder. TTLMillis is how long that holder may trust
// itself without the store.
type termDocument struct {
	tenure
	Holder    string `json:"holder"`
	TTLMillis int64  `json:"ttl_ms"`
	Clean     bool   `json:"clean"`
}

// markDocument is the value of a mark, whose key says which tenure it is of.
type markDocument struct {
	Holder    string `json:"holder"`
	TTLMillis int64  `json:"ttl_ms"`
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
