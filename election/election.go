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
	// ErrNoLeader: nobody holds the office.
	ErrNoLeader = errors.New("no leader")
	// ErrCampaigning: this Election campaigns or leads already.
	ErrCampaigning = errors.New("this Election campaigns or leads already")
)

// maxMetaBytes bounds ID and Meta together.
const maxMetaBytes = 16 << 10

// Options are the options of an Election; nil stands for the defaults.
type Options struct {
	// ID says who leads, to those who ask; by default the host's name and the
	// process's number. It need not be unique: candidates are told apart by
	// nonces of their own.
	ID string

	// Meta is what else the leader tells those who ask, an address say. With
	// ID at most 16 KiB.
	Meta map[string]string

	// Strict makes a candidate wait, before it takes an office that was not
	// released cleanly, until the last holder's trust in itself has run out,
	// and a holder trust itself only as far as it has lately seen itself in
	// the store. It closes the gap that is left where the store takes the
	// office away before its time (see the package's documentation), at the
	// price of one more TTL until the next leader after a crash and one read
	// per renewal. All candidates of an election must agree on it.
	Strict bool

	// MinTerm makes terms start above it. It is for the day after the store
	// was restored from a backup, or lost: the highest term ever acted on is
	// known from outside, and no candidate remembers it.
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

	busy atomic.Bool // a campaign or leadership is on

	unsettled atomic.Bool // a commit under the session joined may yet land

	mu      sync.Mutex
	seen    tenure           // the highest ever seen
	joined  *backend.Session // the session last joined under
	sweeper *sweeper         // between campaigns, while that session lasts
	last    *Leadership      // the last one that Campaign returned, to be cleared up
}

// New returns an Election. It does no I/O. Arguments that make no sense are
// backend.ErrInvalid or backend.ErrTooLarge; name may be any text of 1 to 100
// bytes, see backend.Path.
func New(store *backend.Store, name string, options *Options) (*Election, error) {
	if store == nil {
		return nil, fmt.Errorf("election: %w: the store is nil", backend.ErrInvalid)
	}
	keys, err := newKeys(name)
	if err != nil {
		return nil, fmt.Errorf("election: %w", err)
	}
	e := &Election{store: store, name: name, keys: keys, instance: rand.Text()}
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
// order in which they joined. It waits as long as it takes, through losses of
// the session and outages of the store, until ctx ends; ctx does not bound the
// leadership.
//
// On an error nothing of this campaign is left in the store: if ctx ended, the
// error wraps its cause, and what could not be cleaned up for want of an
// answer within two seconds is cleaned up in the background. Other errors:
// ErrCampaigning; backend.ErrDenied, ErrClosed, ErrFormat.
//
// Calling Campaign says that the work done under an earlier Leadership of this
// Election has stopped, if its context has ended without a Resign.
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

// begin claims the Election for a campaign; finish gives it back.
func (e *Election) begin(ctx context.Context) error {
	e.mu.Lock()
	last := e.last
	e.mu.Unlock()
	if last != nil && last.ctx.Err() != nil {
		_ = last.Resign(ctx) // what it cannot clear up, the sweeper does
	}
	if !e.busy.CompareAndSwap(false, true) {
		return fmt.Errorf("election %q: %w", e.name, ErrCampaigning)
	}
	e.stopSweeper()
	return nil
}

func (e *Election) finish() {
	e.mu.Lock()
	e.last = nil
	e.mu.Unlock()
	e.startSweeper()
	e.busy.Store(false)
}
