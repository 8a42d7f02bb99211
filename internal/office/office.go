package office

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
)

// MaxSeats bounds the seats of an office.
const MaxSeats = 1024

// maxMetaBytes bounds ID and Meta together.
const maxMetaBytes = 16 << 10

// ErrBusy: a candidate that only tries found no free seat.
var ErrBusy = errors.New("held, or others wait")

// Spec says what an office is, and what its owner is told.
type Spec struct {
	Subject backend.Subject
	ID      string // of a holder; by default the host's name and the process's number
	Meta    map[string]string
	Strict  bool
	// Above is what numbers are above at least.
	Above uint64
	// Seats is 0 for an office that has one for ever. Otherwise it is how many
	// an office has at first; Resize changes that.
	Seats int
	// Priority is that of a candidate. Settle is how long a holder waits for a
	// candidate with a higher priority before it hands over; 0 means the TTL.
	Priority int
	Settle   time.Duration
	// Removable offices have a limit, and can be removed.
	Removable bool
	// Lost and Ended are the causes of the end of a tenure: lost by itself, or
	// given up by its holder.
	Lost, Ended error
	// Keep, if not nil, runs beside each tenure until ctx ends. An error that it
	// returns is why the holder steps down.
	Keep func(ctx context.Context, t *Tenure) error
	// OnBegin and OnEnd are told of each tenure once, for the log. Lost says
	// that the tenure is to be reported as lost, body is what a body returned.
	OnBegin func(*Tenure)
	OnEnd   func(t *Tenure, lost bool, cause, body error)
}

// Office is what one process at a time holds, or of which each seat has one
// holder at a time. Its methods may be called concurrently.
type Office struct {
	store    *backend.Store
	spec     Spec
	keys     keys
	floor    string        // the key of the floor; empty if the office cannot be removed
	instance string        // no other Office, here or elsewhere, has it
	nonces   atomic.Uint64 // campaigns begun; with instance a nonce

	mu       sync.Mutex      // guards what follows
	prio     rank            // as a candidate and as a holder
	seen     []tenureID      // the highest ever seen, by seat
	active   map[string]bool // the nonces of campaigns and tenures that are not over
	reported string          // the last key reported as unreadable
}

// New returns an Office. It does no I/O. Its errors wrap backend.ErrInvalid or
// backend.ErrTooLarge.
func New(store *backend.Store, spec Spec) (*Office, error) {
	fail := func(format string, args ...any) (*Office, error) {
		return nil, fmt.Errorf("%s: "+format, append([]any{string(spec.Subject.Kind)}, args...)...)
	}
	if store == nil {
		return fail("%w: the store is nil", backend.ErrInvalid)
	}
	base, err := backend.Path(spec.Subject.Kind, spec.Subject.Name)
	if err != nil {
		return fail("%w", err)
	}
	if spec.Seats < 0 || spec.Seats > MaxSeats {
		return fail("%w: %d seats, at most %d are allowed", backend.ErrInvalid, spec.Seats, MaxSeats)
	}
	spec.Meta = maps.Clone(spec.Meta)
	if spec.ID == "" {
		host, _ := os.Hostname() // a nameless host is still told by its process
		spec.ID = host + "-" + strconv.Itoa(os.Getpid())
	}
	size := len(spec.ID)
	for k, v := range spec.Meta {
		size += len(k) + len(v)
	}
	if size > maxMetaBytes {
		return fail("%w: Options.ID and Options.Meta have %d bytes, at most %d are allowed", backend.ErrTooLarge, size, maxMetaBytes)
	}
	o := &Office{store: store, spec: spec, keys: keysIn(base, spec.Seats > 0), instance: rand.Text(), active: make(map[string]bool)}
	o.prio.set(spec.Priority)
	if spec.Removable {
		o.floor = floorKey(spec.Subject.Kind)
	}
	return o, nil
}

// ID returns what holders are named.
func (o *Office) ID() string { return o.spec.ID }

// Subject returns which office it is.
func (o *Office) Subject() backend.Subject { return o.spec.Subject }

func (o *Office) wrap(err error) error { return fmt.Errorf("%v: %w", o.Subject(), err) }

// newNonce returns a nonce that no campaign has had.
func (o *Office) newNonce() string {
	nonce := o.instance + "-" + strconv.FormatUint(o.nonces.Add(1), 10)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active[nonce] = true
	return nonce
}

// over says that a campaign, and the tenure that came of it, is over.
func (o *Office) over(nonce string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.active, nonce)
}

// stray reports whether a nonce is that of an earlier campaign of this Office.
func (o *Office) stray(nonce string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.HasPrefix(nonce, o.instance+"-") && !o.active[nonce]
}

// see remembers the highest tenure of a seat that this process has ever seen:
// numbers must not repeat even if the store forgets them.
func (o *Office) see(seat int, t tenureID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t.Number == 0 {
		return
	}
	for len(o.seen) <= seat {
		o.seen = append(o.seen, tenureID{})
	}
	if t.Number > o.seen[seat].Number {
		o.seen[seat] = t
	}
}

func (o *Office) highestSeen(seat int) tenureID {
	o.mu.Lock()
	defer o.mu.Unlock()
	if seat >= len(o.seen) {
		return tenureID{}
	}
	return o.seen[seat]
}

// outdated reports whether a seat of a view has a lower number than is known.
func (o *Office) outdated(v *view) bool {
	for i := range v.seats {
		if v.seats[i].outdated(o.highestSeen(i).Number) {
			return true
		}
	}
	return false
}

var errNoSession = errors.New("no session owns it, so no candidate does")

// unreadable reports, once, a key that this version of the library cannot read.
// It holds nobody up for longer than its session.
func (o *Office) unreadable(key string, err error) {
	o.mu.Lock()
	again := o.reported == key
	o.reported = key
	o.mu.Unlock()
	if !again {
		o.store.Logger().Warn("a key of an election or lock cannot be read", "kind", o.Subject().Kind, "name", o.Subject().Name, "key", key, "error", err)
	}
}
