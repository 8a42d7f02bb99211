package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/office"
)

// The errors of this package, beside those of package backend.
var (
	// ErrLost: the leadership is over, and not because its holder ended it.
	ErrLost = errors.New("leadership lost")
	// ErrResigned: the leadership is over because its holder resigned.
	ErrResigned = errors.New("resigned")
	// ErrAgain is for a body of Run to return: the process resigns and campaigns
	// again, behind the candidates that wait.
	ErrAgain = errors.New("campaign again")
	// ErrNoLeader: no process leads.
	ErrNoLeader = errors.New("no leader")
	// ErrCampaigning: this Election campaigns or leads already.
	ErrCampaigning = errors.New("this Election campaigns or leads already")
	// ErrNoCandidate: no candidate with the ID waits, so Transfer did nothing.
	ErrNoCandidate = office.ErrNoCandidate
	// ErrPriorities: candidates have priorities, so Transfer did nothing. Raise the
	// priority of the other candidate instead.
	ErrPriorities = office.ErrPriorities
	// ErrUnhealthy: the process stepped down because Options.Healthy failed.
	ErrUnhealthy = errors.New("unhealthy")
)

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

	// Priority is this candidate's (default 0). Of the waiting candidates the one
	// with the highest priority is next. A leader with a lower priority steps down
	// once that one has waited for Settle. SetPriority changes it. Where there are
	// priorities, a hand-over costs one read more, and Transfer is refused.
	Priority int

	// Settle is how long a leader waits for a candidate with a higher priority
	// before it steps down (default: the session's TTL). A leadership moves at most
	// once per Settle for a priority.
	Settle time.Duration

	// Healthy is asked while this process campaigns and leads, each eighth of the
	// Store's TTL. If it returns an error, or does not return within another
	// eighth, the process is unhealthy: it leaves the queue, or steps down. It
	// campaigns again once Healthy returns nil. From the failure to the end of the
	// leadership's context a quarter of the TTL passes at most.
	Healthy func(context.Context) error

	// MinTerm makes terms start above it. Set it to the highest term ever acted
	// on after the store was lost or restored from a backup, if no candidate
	// remembers that term.
	MinTerm uint64
}

// Election is one candidate, or observer, of a named election. It does not
// need to be closed. Its methods may be called concurrently; one campaign or
// leadership at a time.
type Election struct {
	store  *backend.Store
	name   string
	office *office.Office

	health *health // nil without Options.Healthy

	busy    atomic.Bool                // a campaign or leadership is on
	current atomic.Pointer[Leadership] // the last one that began

	mu   sync.Mutex  // guards last
	last *Leadership // the last one that Campaign returned, until it is resigned
}

// New returns an Election. It does no I/O. Arguments that make no sense are
// backend.ErrInvalid or backend.ErrTooLarge; the name is any text of 1 to 100
// bytes, see backend.Path.
func New(store *backend.Store, name string, options *Options) (*Election, error) {
	var opts Options
	if options != nil {
		opts = *options
	}
	e := &Election{store: store, name: name}
	spec := office.Spec{
		Subject: backend.Subject{Kind: backend.KindElection, Name: name},
		ID:      opts.ID,
		Meta:    opts.Meta,
		Strict:  opts.Strict,
		Above:   opts.MinTerm,
		Lost:    ErrLost,
		Ended:   ErrResigned,
		OnBegin: e.leads,
		OnEnd:   e.led,

		Priority: opts.Priority,
		Settle:   opts.Settle,
	}
	if opts.Settle < 0 {
		return nil, fmt.Errorf("election: %w: Options.Settle is %v", backend.ErrInvalid, opts.Settle)
	}
	if opts.Healthy != nil && store != nil {
		e.health = newHealth(e, opts.Healthy)
		spec.Keep = e.health.keep
	}
	var err error
	e.office, err = office.New(store, spec)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// SetPriority changes the priority of this candidate or leader, also while it
// campaigns or leads. It does not wait for the store.
func (e *Election) SetPriority(priority int) { e.office.SetPriority(priority) }

// Name returns the name of the election.
func (e *Election) Name() string { return e.name }

// leads takes note of the leadership that begins.
func (e *Election) leads(t *office.Tenure) {
	e.store.Logger().Info("leading", "election", e.name, "term", t.Number(), "id", e.office.ID())
	e.current.Store(&Leadership{t})
}

// led says that a leadership has ended.
func (e *Election) led(t *office.Tenure, lost bool, cause, body error) {
	level := slog.LevelInfo
	if lost {
		level = slog.LevelWarn
	}
	e.store.Logger().Log(context.Background(), level, "leadership ended", "election", e.name, "term", t.Number(), "cause", cause, "body", body)
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
// Campaign does not wait for Resign: if the leadership's context ends because the
// process steps down (Priority, Healthy), call Resign, so that the next one leads.
//
// A call of Campaign says that the work done under an earlier Leadership of
// this Election has stopped, if its context has ended without a Resign.
func (e *Election) Campaign(ctx context.Context) (*Leadership, error) {
	if err := e.begin(ctx); err != nil {
		return nil, err
	}
	if _, err := e.campaign(ctx, context.WithoutCancel(ctx), e.finish); err != nil {
		e.finish()
		return nil, err
	}
	lead := e.current.Load()
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
	if last != nil && last.Context().Err() != nil {
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
