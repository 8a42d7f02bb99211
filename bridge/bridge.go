// Package bridge is what bridges from backend.Trace to a metrics system share:
// it makes values for labels of what a trace tells, of which there are few
// however long a service runs. Bridges to OpenTelemetry and Prometheus are
// bridge/otelquorate and bridge/promquorate, each a module of its own; this
// package is for those who write another.
//
// Slots, keys, sessions, tokens and the texts of errors have no bound, and no
// function here returns one.
package bridge

import (
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
)

// Other is the value of a label for all that has none of its own.
const Other = "other"

// DefaultMaxNames is how many names have a label of their own by default.
const DefaultMaxNames = 100

// Names bounds how many names of elections, partitions and the like become
// values of a label. Those that come first have their own for good, so that
// what is counted up under a name is counted down under the same; the rest are
// Other. Its methods may be called concurrently.
type Names struct {
	limit int
	mu    sync.RWMutex
	known map[[2]string]bool
}

// NewNames returns a Names for as many as limit names of each kind together;
// with zero for DefaultMaxNames, with a negative one for none.
func NewNames(limit int) *Names {
	if limit == 0 {
		limit = DefaultMaxNames
	}
	return &Names{limit: limit, known: make(map[[2]string]bool)}
}

// Of returns the kind and the name of what was owned: the partition's for a
// slot.
func (n *Names) Of(o backend.Ownership) (kind, name string) {
	kind, name = o.Kind, o.Name
	switch kind {
	case "election":
	case "partition":
		// Its number follows the last slash; what the name has of them is before.
		name = name[:max(strings.LastIndexByte(name, '/'), 0)]
	default:
		return Other, Other
	}
	key := [2]string{kind, name}
	n.mu.RLock()
	known, full := n.known[key], len(n.known) >= n.limit
	n.mu.RUnlock()
	if !known && !full {
		n.mu.Lock()
		if known = n.known[key] || len(n.known) < n.limit; known {
			n.known[key] = true
		}
		n.mu.Unlock()
	}
	if !known {
		name = Other
	}
	return kind, name
}

// Durations measures ownerships. The zero value is ready for use, by several
// goroutines; it holds what is owned at present.
type Durations struct {
	mu    sync.Mutex
	began map[ownership]time.Time
}

// ownership tells ownerships apart. The same may be owned twice at a time by
// Stores of different namespaces only; the last to begin counts then.
type ownership struct {
	kind, name string
	token      uint64
}

// Began takes the time at which an ownership begins.
func (d *Durations) Began(o backend.Ownership) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.began == nil {
		d.began = make(map[ownership]time.Time)
	}
	d.began[ownership{o.Kind, o.Name, o.Token}] = time.Now()
}

// Ended returns how long an ownership lasted, and false if it is not known to
// have begun.
func (d *Durations) Ended(o backend.Ownership) (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := ownership{o.Kind, o.Name, o.Token}
	began, known := d.began[key]
	delete(d.began, key)
	return time.Since(began), known
}
