// Package bridge is what bridges from backend.Trace to a metrics system share:
// it makes the values of labels from the events of a trace. The number of values
// is bounded however long a service runs. Bridges to OpenTelemetry and
// Prometheus are bridge/otelquorate and bridge/promquorate, each a module of its
// own; use this package to write another.
//
// Slots, keys, sessions, tokens and the texts of errors have no bound, and no
// function here returns one.
package bridge

import (
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
)

// Other is the value of a label for each event that has no value of its own.
const Other = "other"

// DefaultMaxNames is how many names have a label of their own by default.
const DefaultMaxNames = 100

// Kinds and operations are constants of the program. These bounds hold for a
// program that makes them of other text all the same.
const (
	maxKinds      = 30
	maxOperations = 200
)

// Labels makes values of labels from kinds, names and operations. It bounds the
// number of values: the first have their own for good, so an event that counts
// up and the one that counts down have the same. All later ones are Other.
// Its methods may be called concurrently.
type Labels struct {
	kinds, names, operations firsts
}

// NewLabels returns Labels with at most maxNames names, of all kinds together.
// Zero means DefaultMaxNames, a negative number none.
func NewLabels(maxNames int) *Labels {
	if maxNames == 0 {
		maxNames = DefaultMaxNames
	}
	return &Labels{
		kinds:      firsts{limit: maxKinds},
		names:      firsts{limit: maxNames},
		operations: firsts{limit: maxOperations},
	}
}

// Ownership returns the labels of an ownership. The slots of a partition share
// the partition's name.
func (l *Labels) Ownership(o backend.Ownership) (kind, name string) {
	return l.of(o.Kind, &l.names, o.Name)
}

// Retrying returns the labels of an operation that is tried again.
func (l *Labels) Retrying(e backend.Retrying) (kind, operation string) {
	return l.of(e.Kind, &l.operations, string(e.Operation))
}

// of returns the labels of a kind, and of a value that is bounded by all.
func (l *Labels) of(k backend.Kind, all *firsts, value string) (kind, bounded string) {
	kind = string(k)
	if kind == "" || !l.kinds.admit(pair{kind}) {
		return Other, Other
	}
	if value == "" || !all.admit(pair{kind, value}) {
		return kind, Other
	}
	return kind, value
}

// pair is a kind, alone or with a name or an operation.
type pair [2]string

// firsts is the set of those that came first.
type firsts struct {
	limit int
	mu    sync.RWMutex // guards known
	known map[pair]bool
}

// admit adds a pair if there is room, and reports whether it is in the set.
func (f *firsts) admit(p pair) bool {
	f.mu.RLock()
	known, full := f.known[p], len(f.known) >= f.limit
	f.mu.RUnlock()
	if known || full {
		return known
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known[p] && len(f.known) < f.limit {
		if f.known == nil {
			f.known = make(map[pair]bool)
		}
		f.known[p] = true
	}
	return f.known[p]
}

// Durations measures ownerships. The zero value is ready for use, by several
// goroutines. It holds the ownerships that have not ended.
type Durations struct {
	mu    sync.Mutex // guards began
	began map[ownership]time.Time
}

// ownership tells ownerships apart. The same may be owned twice at a time by
// Stores of different namespaces only; the last to begin counts then.
type ownership struct {
	kind  backend.Kind
	name  string
	slot  int
	token uint64
}

func keyOf(o backend.Ownership) ownership { return ownership{o.Kind, o.Name, o.Slot, o.Token} }

// Began takes the time at which an ownership begins.
func (d *Durations) Began(o backend.Ownership) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.began == nil {
		d.began = make(map[ownership]time.Time)
	}
	d.began[keyOf(o)] = time.Now()
}

// Ended returns how long an ownership lasted, and false if it is not known to
// have begun.
func (d *Durations) Ended(o backend.Ownership) (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := keyOf(o)
	began, known := d.began[key]
	delete(d.began, key)
	return time.Since(began), known
}
