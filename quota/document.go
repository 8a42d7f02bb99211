package quota

import (
	"fmt"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/document"
	"github.com/quorate/quorate/internal/removable"
)

// format is the number of the format of state.
const format = 1

// state is the document of a quota: which window it is, and how much of it is
// granted or reserved.
type state struct {
	Start int64 `json:"start_ms"` // of the window, in milliseconds since 1970
	Used  int64 `json:"used"`
}

// later returns the later of two states. The window only moves forward, and
// within a window no unit is ever given back.
func later(a, b state) state {
	if b.Start > a.Start || b.Start == a.Start && b.Used > a.Used {
		return b
	}
	return a
}

// stateOf returns what was read of a quota.
func stateOf(look removable.Look) (s state, err error) {
	if !look.Found {
		return state{}, nil
	}
	if err := document.Decode(look.Entry.Value, format, &s); err != nil {
		return state{}, fmt.Errorf("%s: %w", look.Key, err)
	}
	if s.Start < 0 || s.Used < 0 {
		return state{}, fmt.Errorf("%s: %w: a negative number", look.Key, backend.ErrFormat)
	}
	return s, nil
}

// encode cannot fail: a state is of numbers.
func encode(s state) []byte {
	data, err := document.Encode(format, s)
	if err != nil {
		panic(err)
	}
	return data
}
