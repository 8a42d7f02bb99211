package membership

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
)

// The errors of this package, beside those of package backend.
var (
	// ErrLeft: the membership is over because the member left.
	ErrLeft = errors.New("left the group")
	// ErrSuperseded: the membership is over because a newer incarnation has
	// joined under the same ID.
	ErrSuperseded = errors.New("a newer incarnation has joined under the same ID")
)

// clearTimeout bounds what a caller who has given up is made to wait for.
const clearTimeout = 2 * time.Second

// Options are the options of a Group; nil means the defaults.
type Options struct {
	// GracePeriod is how long the view holds members when more than half of
	// them vanish within a TTL without having left. The default is twice the
	// longest TTL of the members: longer than they take to return after an
	// outage. Negative: not at all. Besides, missing members are held after
	// this process has lost its session, as the package's documentation says.
	GracePeriod time.Duration

	// SnapshotFile is where the last view is kept for the next process that
	// uses the same file. That process starts with these members, marked stale,
	// even if the store is unavailable. Each process needs a file of its own.
	// Empty: none.
	//
	// It is written, by renaming a temporary file beside it, when the members
	// have changed, at most once a second, and once a minute. A file that is
	// torn, or of another group, is reported in the log and ignored, as is a
	// failure to write it.
	SnapshotFile string
}

// Group is a named group of processes, as this process sees it. It begins to
// follow the members with the first call of any of its methods. Until the Store
// or the Group is closed it costs one watch, and the session that it shares
// with the Store's other users. Its methods may be called concurrently.
type Group struct {
	store *backend.Store
	name  string
	dir   string
	opts  Options

	life    context.Context // ends with a cause, by Close, with the Store, or for good
	end     context.CancelCauseFunc
	running sync.WaitGroup
	saves   chan struct{} // one token: a snapshot is due
	resume  chan struct{} // one token: the group is used again after a refusal

	mu       sync.Mutex // guards the fields below
	started  bool
	idle     bool // the store refused the watch, and nobody has used the group since
	watcher  *backend.Watcher
	claimant *backend.Claimant
	changed  chan struct{} // closed when one of the following has changed
	refusals int           // how often the store refused the watch
	refused  error         // why it last did
	state    *state
	roster   roster
	synced   bool
	number   uint64    // of the view: counts changes of its content
	loaded   time.Time // as of when the snapshot is that was loaded
	session  *backend.Session
	heard    time.Time // when the store was last known to answer
	mine     map[string]*Registration
	arrived  []arrivals // of the last second
}

// New returns a Group. It does no I/O. Arguments that make no sense are
// backend.ErrInvalid; name may be any text of 1 to 100 bytes, see backend.Path.
func New(store *backend.Store, name string, options *Options) (*Group, error) {
	if store == nil {
		return nil, fmt.Errorf("membership: %w: the store is nil", backend.ErrInvalid)
	}
	dir, err := directory(name)
	if err == nil {
		err = store.CheckPath(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("membership: %w", err)
	}
	g := &Group{
		store: store, name: name, dir: dir, saves: make(chan struct{}, 1), resume: make(chan struct{}, 1),
		changed: make(chan struct{}), state: new(state), mine: make(map[string]*Registration),
	}
	if options != nil {
		g.opts = *options
	}
	g.roster = roster{grace: g.opts.GracePeriod}
	g.life, g.end = context.WithCancelCause(context.Background())
	return g, nil
}

// Name returns the name of the group.
func (g *Group) Name() string { return g.name }

func (g *Group) subject() backend.Subject {
	return backend.Subject{Kind: backend.KindMembership, Name: g.name}
}

// Store returns the Store that the group is kept in.
func (g *Group) Store() *backend.Store { return g.store }

// start begins to follow the group, unless that has begun.
func (g *Group) start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle {
		g.idle = false
		select {
		case g.resume <- struct{}{}:
		default:
		}
	}
	if g.started {
		return
	}
	g.started = true
	if g.life.Err() != nil {
		return
	}
	if g.opts.SnapshotFile != "" {
		g.load()
	}
	g.claimant = g.store.NewClaimant(g.dir, g.claims, nil)
	var err error
	if g.watcher, err = g.store.Watch(backend.Dir(g.dir)); err != nil {
		g.end(err)
		return
	}
	g.running.Go(g.follow)
	g.running.Go(g.keepSession)
	g.running.Go(g.expireMarks)
	if g.opts.SnapshotFile != "" {
		g.running.Go(g.save)
	}
}

// broadcast wakes all who wait for a change; g.mu is held.
func (g *Group) broadcast() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// View returns the members as far as they are known now. It does not wait for
// the store; the first call of all reads Options.SnapshotFile.
func (g *Group) View() View {
	g.start()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.view(time.Now())
}

// view is View; g.mu is held.
func (g *Group) view(now time.Time) View {
	v := View{Synced: g.synced, Members: g.roster.shown, number: g.number}
	if asOf := g.asOf(now); !asOf.IsZero() {
		v.Age = max(now.Sub(asOf), 0)
	}
	v.Stale = !g.synced || v.Age > g.ttl()
	return v
}

// WaitSynced waits until the members have been read from the store once. It
// ends early with ctx, wrapping its cause, and with backend.ErrClosed or
// backend.ErrDenied.
func (g *Group) WaitSynced(ctx context.Context) error {
	g.start()
	g.mu.Lock()
	refusals := g.refusals
	g.mu.Unlock()
	for {
		g.mu.Lock()
		synced, changed, refused := g.synced, g.changed, g.refusedSince(refusals)
		g.mu.Unlock()
		switch {
		case synced:
			return nil
		case refused != nil:
			return fmt.Errorf("membership %q: %w", g.name, refused)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("membership %q: %w: %w", g.name, backend.ErrUnavailable, context.Cause(ctx))
		case <-g.life.Done():
			return fmt.Errorf("membership %q: %w", g.name, context.Cause(g.life))
		}
	}
}

// Close leaves the group with all that this Group joined, and ends what it
// does. It takes at most two seconds; what could not be left by then goes with
// the Store's session, and the error says so. It is for Groups that are given
// up before their Store: closing the Store ends them too, but leaves nothing,
// so the others take its members for crashed. Closing again does nothing.
func (g *Group) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), clearTimeout)
	defer cancel()
	g.mu.Lock()
	var joined []*Registration
	for _, r := range g.mine {
		joined = append(joined, r)
	}
	g.started = true
	g.mu.Unlock()
	var errs []error
	for _, r := range joined {
		r.finish(ErrLeft)
	}
	for _, r := range joined {
		errs = append(errs, r.wait(ctx))
	}
	g.mu.Lock()
	g.end(backend.ErrClosed) // under the mutex: nothing is begun any more
	g.mu.Unlock()
	g.running.Wait()
	if g.claimant != nil {
		g.claimant.Close()
	}
	return errors.Join(errs...)
}
