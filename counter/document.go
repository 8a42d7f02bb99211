package counter

import (
	"fmt"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/document"
	"github.com/quorate/quorate/internal/removable"
)

// format is the number of the formats of all documents below.
const format = 1

// maxEntries bounds the entries of a document, and with them its size: each
// has about a hundred bytes.
const maxEntries = 64

// counterDocument is the value of a counter's one key: the count, and what
// writers need to find out what became of a commit whose reply was lost.
type counterDocument struct {
	Value int64 `json:"value"`
	// Dropped counts the entries that were pushed out of Recent.
	Dropped uint64 `json:"dropped"`
	Turn    turn   `json:"turn,omitzero"`
	// Recent has the last commit of each of the writers that wrote last, the
	// newest first.
	Recent []entry `json:"recent"`
}

// entry says what a writer's last commit was, and which value it left.
type entry struct {
	Writer string `json:"writer"`
	Seq    uint64 `json:"seq"`
	Result int64  `json:"result"`
	// Again: the writer is a member of the ring, see turns.
	Again bool `json:"again,omitempty"`
}

// by returns the entry of a writer.
func (d *counterDocument) by(writer string) (entry, bool) {
	for _, e := range d.Recent {
		if e.Writer == writer {
			return e, true
		}
	}
	return entry{}, false
}

// with returns the document after a commit: the writer's entry in front, and
// no more than limit of them.
func (d *counterDocument) with(e entry, limit int) counterDocument {
	next := counterDocument{Value: e.Result, Dropped: d.Dropped, Turn: d.Turn}
	next.Recent = make([]entry, 1, min(limit, len(d.Recent)+1))
	next.Recent[0] = e
	for _, other := range d.Recent {
		switch {
		case other.Writer == e.Writer:
		case len(next.Recent) < limit:
			next.Recent = append(next.Recent, other)
		default:
			next.Dropped++
		}
	}
	return next
}

// base is a document as it was read or written; without a version it is that
// of a counter that nobody has written.
type base struct {
	counterDocument
	look    removable.Look // where it is, or what its creation depends on
	version backend.Version
}

func (b *base) exists() bool { return !b.version.IsZero() }

// baseOf returns what was read of a counter.
func baseOf(look removable.Look) (base, error) {
	if !look.Found {
		return base{look: look}, nil
	}
	b := base{look: look, version: look.Entry.Version}
	return b, decode(look.Entry, &b.counterDocument)
}

// sequenceDocument is the value of a sequence's one key: the highest number
// that is reserved.
type sequenceDocument struct {
	Reserved uint64 `json:"reserved"`
}

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
