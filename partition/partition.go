package partition

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/assign"
	"github.com/quorate/quorate/membership"
)

// Defaults and bounds of Options.
const (
	DefaultSlots        = 256
	MaxSlots            = 16384
	MaxWeight           = 1000
	DefaultSettle       = 500 * time.Millisecond
	DefaultDrainTimeout = 30 * time.Second
	DefaultRestarts     = 5
)

// The causes with which the context of a slot's body ends, beside the cause of
// the context given to Run.
var (
	// ErrMoved: the plan gives the slot to another member, which waits for this
	// body to return.
	ErrMoved = errors.New("the slot is to move to another member")
	// ErrLost: the slot can no longer be relied on. The error wraps why: the
	// session is over, the member's claims are gone from the store, or the
	// membership has ended.
	ErrLost = errors.New("the slot was lost")
	// ErrDrainTimeout: a body, of another slot, did not return within
	// Options.DrainTimeout, and Run is to end for it. Run returns it too.
	ErrDrainTimeout = errors.New("the body did not return in time, although its context had ended")
)

// ErrGaveUp: the body returned too often, see Options.Restarts, so that the
// member gives the slot up. backend.Trace tells it as the cause; no body is left
// to see it.
var ErrGaveUp = errors.New("the body returned too often")

// ErrRunning: the Registration has a Run already.
var ErrRunning = errors.New("the registration runs its slots already")

// Options are the options of a Partition; nil and zero fields mean
// the defaults. All members must have the same Slots, Grace and
// Strict.
type Options struct {
	// Slots is into how many parts the work is cut, 256 by default, 16,384 at
	// most. It is fixed with the first plan: who asks for another number is
	// refused by Run.
	Slots int

	// Weight is how much this member is to get, relative to the others; 1 by
	// default, 1,000 at most.
	Weight int

	// Zone is where this member runs: its slots and their neighbours fail
	// together if the zone does. Slots are spread over the zones as evenly as the
	// weights allow. Neighbouring slots go to different zones where that costs no
	// move. By default all members are in one zone.
	Zone string

	// Version is the version of the program that this member runs. While members
	// of several versions are there, a deploy is under way. A slot then moves only
	// if its owner leaves, fails or is cordoned. It goes to a member of the newest
	// version, so it moves once. A deploy ends when one version is left, or
	// five minutes after a member last came or went; then the shares are equal
	// again. Digits compare as numbers: v1.10 is newer than v1.9. By default all
	// members have one version.
	Version string

	// Settle is how long a change of the members settles before the slots are
	// planned again (default 0.5 s). Each member draws a time between once and
	// twice that long.
	Settle time.Duration

	// Grace is how long the slots of an absent member are kept for it, run by
	// nobody. If a process with the same ID returns in time, it has them again,
	// and nothing else moves. It is for restarts, so with it Run does not hand
	// its slots over when it ends. By default slots are not kept, and a member
	// that leaves hands them over.
	Grace time.Duration

	// DrainTimeout is how long a body may run after the end of its context
	// before it is reported (default 30 s). The report is an error in the log
	// and goes to backend.Trace. It is repeated each time that DrainTimeout has
	// passed. The claim is kept: nobody else runs what may still run here, and
	// the slot has no other owner until the body returns.
	DrainTimeout time.Duration

	// EndOnDrainTimeout makes Run end if a body has not returned within
	// DrainTimeout. Run hands over the other slots and returns ErrDrainTimeout
	// although that body still runs, so that the process can end, for example
	// by restart.Main. No other cure exists from outside. The claim stays until
	// the body returns, or the session is over: nobody runs the slot before. By
	// default Run continues with its other slots. When it is to end, it waits
	// for the body.
	EndOnDrainTimeout bool

	// Restarts is how often in a row a body is started again that returns
	// before its context has ended (default 5, negative: no limit). Pauses
	// between them grow from 0.1 s to 30 s. A body that lasted a minute counts
	// as the first again. After that the member gives the slot up, and others
	// get it. After ten minutes it would take the slot again.
	Restarts int

	// Strict, if not zero, is the longest TTL of any member's Store. A slot
	// that was not seen to be released then waits that long. So no two members
	// run it even if the store gives up a member's claims early (see the
	// package's documentation). It costs each member a read per renewal of its
	// session.
	Strict time.Duration
}

func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	def := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	def(&opts.Slots, DefaultSlots)
	def(&opts.Weight, 1)
	def(&opts.Restarts, DefaultRestarts)
	if opts.Settle == 0 {
		opts.Settle = DefaultSettle
	}
	if opts.DrainTimeout == 0 {
		opts.DrainTimeout = DefaultDrainTimeout
	}
	switch {
	case opts.Slots < 1 || opts.Slots > MaxSlots:
		return opts, fmt.Errorf("%w: Options.Slots is %d, it must be from 1 to %d", backend.ErrInvalid, opts.Slots, MaxSlots)
	case len(opts.Zone) > maxLabel || len(opts.Version) > maxLabel:
		return opts, fmt.Errorf("%w: Options.Zone and Options.Version have at most %d bytes", backend.ErrInvalid, maxLabel)
	}
	if err := checkWeight(opts.Weight); err != nil {
		return opts, err
	}
	for name, d := range map[string]time.Duration{
		"Settle": opts.Settle, "Grace": opts.Grace, "DrainTimeout": opts.DrainTimeout, "Strict": opts.Strict,
	} {
		if d < 0 {
			return opts, fmt.Errorf("%w: Options.%s is negative", backend.ErrInvalid, name)
		}
	}
	return opts, nil
}

// Partition is work cut into slots, spread over the members of a group that run
// it. Its methods may be called concurrently.
type Partition struct {
	store   *backend.Store
	group   *membership.Group
	name    string
	keys    keys
	opts    Options
	process string // names this Partition in the claims that it writes

	life      context.Context
	end       context.CancelCauseFunc
	following sync.WaitGroup

	mu       sync.Mutex
	followed bool
	seen     planID // the highest
	present  *plan  // the last that was read
	weight   int
	serving  map[*member]bool
	running  map[*membership.Registration]bool
	entered  map[*membership.Registration]string // the registration last used, even if Run has ended
	used     map[string]bool                     // keys of claims in use
	claimant *backend.Claimant                   // for them, nil before the first
}

// New returns a Partition of the work called name over the members of group. It
// does no I/O. Arguments that make no sense are backend.ErrInvalid; name may be
// any text of 1 to 100 bytes, see backend.Path.
func New(group *membership.Group, name string, options *Options) (*Partition, error) {
	if group == nil {
		return nil, fmt.Errorf("partition: %w: the group is nil", backend.ErrInvalid)
	}
	opts, err := options.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("partition %q: %w", name, err)
	}
	k, err := newKeys(name)
	if err == nil {
		err = group.Store().CheckPath(k.plan)
	}
	if err != nil {
		return nil, fmt.Errorf("partition: %w", err)
	}
	p := &Partition{
		store: group.Store(), group: group, name: name, keys: k, opts: opts, process: rand.Text(),
		running: make(map[*membership.Registration]bool),
		entered: make(map[*membership.Registration]string),
		used:    make(map[string]bool),
		weight:  opts.Weight,
		serving: make(map[*member]bool),
	}
	p.life, p.end = context.WithCancelCause(context.Background())
	return p, nil
}

// Name returns the name of the partition.
func (p *Partition) Name() string { return p.name }

func (p *Partition) subject() backend.Subject {
	return backend.Subject{Kind: backend.KindPartition, Name: p.name}
}

// Slots returns the number of slots.
func (p *Partition) Slots() int { return p.opts.Slots }

// Slot returns the slot that a key belongs to: SlotOf with the number of slots.
func (p *Partition) Slot(key string) int { return SlotOf(key, p.opts.Slots) }

// Owner returns the member that should own the slot of a key, as far as this
// process knows, without I/O. It returns false if no member is known. Use it to
// send a request to the process that most likely serves it. Do not use it to
// decide whether a process may act: only the member that runs the slot may.
//
// The first call of all begins to follow the plan, which costs the Store a
// watch unless Run has one already, and knows nothing yet.
func (p *Partition) Owner(key string) (membership.Member, bool) {
	p.follow()
	p.mu.Lock()
	present := p.present
	p.mu.Unlock()
	if present == nil {
		return membership.Member{}, false
	}
	id, err := url.PathUnescape(assign.IDOf(present.OwnerOf(p.Slot(key))))
	if err != nil || id == "" {
		return membership.Member{}, false
	}
	return p.group.View().Lookup(id)
}

// Close ends what the Partition does in the background: Owner stays with the
// plan that it knows. It does not affect Run. Closing the Store has the same
// effect. Its error is nil.
func (p *Partition) Close() error {
	p.mu.Lock()
	p.followed = true
	p.end(backend.ErrClosed)
	p.endClaimant()
	p.mu.Unlock()
	p.following.Wait()
	return nil
}

// follow begins to follow the plan, and the members, for Owner.
func (p *Partition) follow() {
	p.group.View()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.followed {
		return
	}
	p.followed = true
	w, err := p.store.Watch(backend.Key(p.keys.plan))
	if err != nil {
		return // the Store is closed
	}
	p.following.Go(func() {
		defer w.Close()
		for {
			if err := w.Next(p.life); err != nil {
				if !errors.Is(err, backend.ErrClosed) {
					p.store.Logger().Error("the plan cannot be followed", "partition", p.name, "error", err)
					p.mu.Lock()
					p.followed = p.life.Err() != nil // the next Owner begins again
					p.mu.Unlock()
				}
				return
			}
			if entries := w.Entries(0); len(entries) > 0 {
				read, err := p.decodePlan(entries[0])
				if err != nil {
					p.store.Logger().Error("the plan cannot be read", "partition", p.name, "error", err)
					continue
				}
				p.show(read)
			}
		}
	})
}

func (p *Partition) show(read *plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.present = read
}

// decodePlan reads a plan, which has to be of this partition.
func (p *Partition) decodePlan(e backend.Entry) (*plan, error) {
	read, err := decodePlan(e)
	switch {
	case err != nil:
		return nil, err
	case len(read.Slots) != p.opts.Slots:
		return nil, fmt.Errorf("%w: the plan has %d slots, Options.Slots is %d", backend.ErrInvalid, len(read.Slots), p.opts.Slots)
	case read.group != p.group.Name():
		return nil, fmt.Errorf("%w: the partition is of the group %q, not of %q", backend.ErrInvalid, read.group, p.group.Name())
	}
	return read, nil
}

// highest returns the highest plan seen.
func (p *Partition) highest() planID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

// see takes note of a plan that was read, or made.
func (p *Partition) see(id planID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id.epoch >= p.seen.epoch {
		p.seen = id
	}
}
