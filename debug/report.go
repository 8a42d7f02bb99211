package debug

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/quorate/quorate/backend"
)

// Bounds of what is shown.
const (
	maxQueue       = 20
	maxMembers     = 100
	maxDifferences = 50
	maxMeta        = 8
	maxText        = 200 // characters
)

// report is what is shown, as JSON has it.
type report struct {
	Process   string    `json:"process"`
	Namespace string    `json:"namespace"`
	At        time.Time `json:"at"` // when the last round of reads was over
	Session   session   `json:"session"`

	Elections  []part[electionPart]  `json:"elections,omitempty"`
	Groups     []part[groupPart]     `json:"groups,omitempty"`
	Partitions []part[partitionPart] `json:"partitions,omitempty"`
	Counters   []part[numberPart]    `json:"counters,omitempty"`
	Tallies    []part[numberPart]    `json:"tallies,omitempty"`
}

// part is what is shown of one thing. With an Error it is what was read before,
// if anything was.
type part[T any] struct {
	Name  string    `json:"name"`
	Error string    `json:"error,omitempty"`
	AsOf  time.Time `json:"as_of,omitzero"`
	Data  *T        `json:"data,omitempty"`
}

// Ago is how long before the report the data were read.
func (p part[T]) Ago(at time.Time) time.Duration { return at.Sub(p.AsOf).Round(time.Second) }

type session struct {
	State     string `json:"state"` // "none", "trusted" or "over"
	ID        string `json:"id,omitempty"`
	TTL       int64  `json:"ttl_ms,omitempty"`
	Window    int64  `json:"window_ms,omitempty"` // when it has just been renewed
	TrustLeft int64  `json:"trust_left_ms"`
}

// sessionOf returns the state of the session at this instant.
func sessionOf(store *backend.Store) session {
	s := store.LastSession()
	if s == nil {
		return session{State: "none"}
	}
	shown := session{
		State: "over", ID: clean(s.ID()), TTL: s.TTL().Milliseconds(),
		Window: (s.TTL() - s.Margin()).Milliseconds(),
	}
	if left := s.TrustLeft(); left > 0 && s.Valid() {
		shown.State, shown.TrustLeft = "trusted", left.Milliseconds()
	}
	return shown
}

type electionPart struct {
	Leader string      `json:"leader,omitempty"`
	Meta   []pair      `json:"meta,omitempty"`
	Term   uint64      `json:"term"`
	Holder string      `json:"holder,omitempty"` // of the term
	Clean  bool        `json:"clean"`            // the term was given up in order
	Led    bool        `json:"led"`
	Queue  []candidate `json:"queue,omitempty"`
	More   int         `json:"more,omitempty"` // who wait beyond the queue shown
}

type candidate struct {
	ID    string `json:"id"`
	Nonce string `json:"nonce"`
}

type pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type groupPart struct {
	Synced  bool     `json:"synced"`
	Stale   bool     `json:"stale"`
	Age     int64    `json:"age_ms"`
	Count   int      `json:"count"`
	Held    int      `json:"held"`
	Members []member `json:"members,omitempty"`
	More    int      `json:"more,omitempty"`
}

type member struct {
	ID          string `json:"id"`
	Addr        string `json:"addr,omitempty"`
	Meta        []pair `json:"meta,omitempty"`
	MoreMeta    int    `json:"more_meta,omitempty"`
	Incarnation string `json:"incarnation"`
	TTL         int64  `json:"ttl_ms"`
	Held        bool   `json:"held"`
}

type numberPart struct {
	Value int64 `json:"value"`
}

// clean makes a text from the store fit to be shown: bounded, valid, and
// without what would move what is around it.
func clean(s string) string {
	n := 0
	for i := range s {
		if n++; n > maxText {
			s = s[:i] + "…"
			break
		}
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
