package election

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/backend"
)

// The errors of this package, beside those of package backend.
var (
	// ErrLost: the leadership is over, and not because its holder ended it.
	ErrLost = errors.New("leadership lost")
	// ErrResigned: the leadership is over because its holder resigned.
	ErrResigned = errors.New("resigned")
	// ErrNoLeader: no process leads.
	ErrNoLeader = errors.New("no leader")
	// ErrCampaigning: this Election campaigns or leads already.
	ErrCampaigning = errors.New("this Election campaigns or leads already")
)

// maxMetaBytes bounds ID and Meta together.
const maxMetaBytes = 16 << 10

// Options are the options of an Election; nil means the defaults.
type Options struct {
	// ID names the leader to other processes (default: the host's name and the
	// process's number). It need not be unique: each candidate has a nonce.
	ID string

	// Meta is what else a leader tells other processes, such as an address. ID
	// and Meta together have 16 KiB at most.
	Meta map[string]string

	// Strict closes the gap that is left if the store takes the office away
	// before its time (see the package's documentation). If the last holder did
	// not resign, a candidate waits until that holder's trust in itself has run
	// out. A holder trusts itself only as far as it has lately seen its leader
	// key in the store. The price is one more TTL until the next leader after a
	// crash, and one read per renewal. Set it in all candidates or in none.
	Strict bool

	// MinTerm makes terms start above it. Set it to the highest term ever acted
	// on after the store was lost or restored from a backup, if no candidate
	// remembers that term.
	MinTerm uint64
}

// Election is one candidate, or observer, of a named election. It does not
// need to be closed. Its methods may be called concurrently; one campaign or
// leadership at a time.
type Election struct {
	store    *backend.Store
	name     string
	keys     keys
	opts     Options
	instance string        // no other Election, here or elsewhere, has it
	nonces   atomic.Uint64 // campaigns begun; with instance a nonce

	busy    atomic.Bool                // a campaign or leadership is on
	current atomic.Pointer[Leadership] // the last one that began

	mu       sync.Mutex  // guards what follows
	seen     tenure      // the highest ever seen
	reported string      // the last key reported as unreadable
	last     *Leadership // the last one that Campaign returned, until it is resigned
}

// New returns an Election. It does no I/O. Arguments that make no sense are
// backend.ErrInvalid or backend.ErrTooLarge; the name is any text of 1 to 100
// bytes, see backend.Path.
func New(store *backend.Store, name string, options *Options) (*Election, error) {
	if store == nil {
		return nil, fmt.Errorf("election: %w: the store is nil", backend.ErrInvalid)
	}
	base, err := backend.Path(backend.KindElection, name)
	if err != nil {
		return nil, fmt.Errorf("election: %w", err)
	}
	e := &Election{store: store, name: name, keys: keysIn(base), instance: rand.Text()}
	if options != nil {
		e.opts = *options
		e.opts.Meta = maps.Clone(options.Meta)
	}
	if e.opts.ID == "" {
		host, _ := os.Hostname() // a nameless host is still told by its process
		e.opts.ID = host + "-" + strconv.Itoa(os.Getpid())
	}
	size := len(e.opts.ID)
	for k, v := range e.opts.Meta {
		size += len(k) + len(v)
	}
	if size > maxMetaBytes {
		return nil, fmt.Errorf("election: %w: Options.ID and Options.Meta have %d bytes, at most %d are allowed", backend.ErrTooLarge, size, maxMetaBytes)
	}
	return e, nil
}

// Name returns the name of the election.
func (e *Election) Name() string { return e.name }

func (e *Election) subject() backend.Subject {
	return backend.Subject{Kind: backend.KindElection, Name: e.name}
}

// Campaign waits for the office and takes it. Candidates are served in the
// order in which they joined the queue. Campaign waits through losses of the
// session and outages of the store, until ctx ends. The context does not bound
// the leadership.
//
// After an error no key of this campaign is left in the store. If ctx ended,
// the error wraps its cause. If the store does not answer within two seconds,
// the keys are deleted in the background, until the session ends and they go
// with it. Other errors: ErrCampaigning; backend.ErrDenied, ErrClosed.
//
// A call of Campaign says that the work done under an earlier Leadership of
// this Election has stopped, if its context has ended without a Resign.
func (e *Election) Campaign(ctx context.Context) (*Leadership, error) {
	if err := e.begin(ctx); err != nil {
		return nil, err
	}
	lead, err := e.campaign(ctx, context.WithoutCancel(ctx), e.finish)
	if err != nil {
		e.finish()
		return nil, err
	}
	e.mu.Lock()
	e.last = lead
	e.mu.Unlock()
	return lead, nil
}

// Leading returns the present leadership of this Election, and whether there is
// one that is trusted at this instant. It does no I/O.
func (e *Election) Leading() (*Leadership, bool) {
	lead := e.current.Load()
	if lead == nil || !lead.Valid() {
		return nil, false
	}
	return lead, true
}

// begin claims the Election for a campaign; finish gives it back.
func (e *Election) begin(ctx context.Context) error {
	e.mu.Lock()
	last := e.last
	e.mu.Unlock()
	if last != nil && last.ctx.Err() != nil {
		_ = last.Resign(ctx) // the rest is cleaned up in the background
	}
	if !e.busy.CompareAndSwap(false, true) {
		return fmt.Errorf("election %q: %w", e.name, ErrCampaigning)
	}
	return nil
}

func (e *Election) finish() {
	e.mu.Lock()
	e.last = nil
	e.mu.Unlock()
	e.busy.Store(false)
}

// see remembers the highest tenure that this process has ever seen in the
// election: numbers must not repeat even if the store forgets them.
func (e *Election) see(t tenure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.Number > e.seen.Number {
		e.seen = t
	}
}

func (e *Election) highestSeen() tenure {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen
}

var errNoSession = errors.New("no session owns it, so no candidate does")

// unreadable reports, once, a key that this version of the library cannot read.
// It holds nobody up for longer than its session.
func (e *Election) unreadable(key string, err error) {
	e.mu.Lock()
	again := e.reported == key
	e.reported = key
	e.mu.Unlock()
	if !again {
		e.store.Logger().Warn("a key of the election cannot be read", "election", e.name, "key", key, "error", err)
	}
}
