package ids

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
)

const (
	defaultAhead = 10 * time.Second
	maxAhead     = time.Hour
	// borrowed is how far a burst may run ahead of the clock, in milliseconds.
	borrowed = 100
	// ended is the last moment of a generator that hands out nothing any more.
	ended = moment(math.MaxUint64)
)

// ErrOutOfRange: the time of an ID would lie after the year 2095.
var ErrOutOfRange = errors.New("out of range")

// Node is a node number that this process holds. A lock.Held of a lock.Semaphore
// is one.
type Node interface {
	// Permit returns the number, from 0.
	Permit() int
	// Context ends when the number is lost.
	Context() context.Context
	// Guard makes commits depend on the number being held.
	Guard() backend.Guard
}

// Options are the options of a Generator; nil means the defaults.
type Options struct {
	// Ahead is for how long a generator reserves time (default 10 s, at most an
	// hour). It can hand out IDs for as long while the store is unavailable, two
	// thirds of it at least. The IDs of a node that was lost in a crash may begin
	// as far in the future.
	Ahead time.Duration
}

// Generator hands out the IDs of one node. Its methods may be called concurrently.
// It should be closed.
type Generator struct {
	store  *backend.Store
	label  backend.Subject
	key    string
	node   Node
	number uint64
	nonce  string // no other generator has it
	ahead  time.Duration
	wall   func() time.Time // time.Now, except in tests

	began  time.Time     // by the monotonic clock
	offset atomic.Int64  // of that clock, in nanoseconds since Epoch; it only grows
	last   atomic.Uint64 // the moment of the last ID
	until  atomic.Int64  // the time that is reserved, in milliseconds since Epoch
	soon   atomic.Int64  // from here on the next reservation is begun

	life    context.Context // of reservations; ends with the node and with Close
	end     context.CancelCauseFunc
	release func() bool // of the watch over the node's context
	running sync.WaitGroup

	// above is the latest time that another generator had reserved, as seen by any
	// attempt to reserve. It belongs to the reservation under way.
	above int64

	mu        sync.Mutex // guards what follows
	reserving *reservation
	closed    bool
}

// reservation is one on its way; err is for those who wait for it.
type reservation struct {
	done chan struct{}
	err  error
}

// New returns the generator of a node. It does no I/O. The name, any text of 1 to
// 100 bytes, means a space of IDs: all processes that use it hold different node
// numbers of one semaphore. Arguments that make no sense are backend.ErrInvalid.
func New(store *backend.Store, name string, node Node, options *Options) (*Generator, error) {
	g := &Generator{
		store: store, label: backend.Subject{Kind: backend.KindIDs, Name: name}, node: node,
		nonce: rand.Text(), ahead: defaultAhead, wall: time.Now, began: time.Now(),
	}
	if options != nil && options.Ahead != 0 {
		g.ahead = options.Ahead
	}
	switch {
	case store == nil:
		return nil, fmt.Errorf("%s: %w: the store is nil", g.label, backend.ErrInvalid)
	case node == nil:
		return nil, fmt.Errorf("%s: %w: the node is nil", g.label, backend.ErrInvalid)
	case node.Permit() < 0 || node.Permit() >= MaxNodes:
		return nil, fmt.Errorf("%s: %w: the node number is %d, 0 to %d are allowed", g.label, backend.ErrInvalid, node.Permit(), MaxNodes-1)
	case g.ahead < time.Second || g.ahead > maxAhead:
		return nil, fmt.Errorf("%s: %w: Options.Ahead is %v, 1s to %v are allowed", g.label, backend.ErrInvalid, g.ahead, maxAhead)
	}
	var err error
	g.number = uint64(node.Permit())
	if g.key, err = backend.Path(backend.KindIDs, name, "nodes", strconv.Itoa(node.Permit())); err != nil {
		return nil, fmt.Errorf("ids: %w", err)
	}
	g.until.Store(-1)
	g.above = -1
	g.life, g.end = context.WithCancelCause(node.Context())
	g.release = context.AfterFunc(node.Context(), func() { g.last.Store(uint64(ended)) })
	return g, nil
}

// Name returns the name of the space of IDs.
func (g *Generator) Name() string { return g.label.Name }

// Next returns an ID that no other call gets, in this process or another. It is
// higher than that of every call that returned before.
//
// Time is reserved ahead and in the background, so that most calls do no I/O and do
// not look at ctx. If none is reserved, a call waits as long as the store is
// unavailable, until ctx ends. It also waits, by milliseconds, if more IDs are drawn
// than there are: 4,096 per millisecond.
//
// Errors: the cause of the node's context once that has ended; the cause of ctx;
// backend.ErrFenced if the node number belongs to another process; ErrDenied,
// ErrFormat, ErrClosed; ErrOutOfRange.
func (g *Generator) Next(ctx context.Context) (ID, error) {
	for {
		last, now := moment(g.last.Load()), g.now()
		if last == ended {
			return 0, fmt.Errorf("%s: %w", g.label, g.why())
		}
		next := max(last+1, momentOf(now, 0))
		switch ms := next.ms(); {
		case ms > g.until.Load():
			if err := g.reserved(ctx); err != nil {
				return 0, fmt.Errorf("%s: %w", g.label, err)
			}
		case ms > now+borrowed:
			if err := backend.Sleep(ctx, time.Millisecond); err != nil {
				return 0, fmt.Errorf("%s: %w", g.label, err)
			}
		case g.last.CompareAndSwap(uint64(last), uint64(next)):
			if ms > g.soon.Load() {
				g.begin()
			}
			return next.id(g.number), nil
		}
	}
}

// now returns the generator's time, in milliseconds since Epoch.
func (g *Generator) now() int64 {
	return (int64(time.Since(g.began)) + g.offset.Load()) / int64(time.Millisecond)
}

// why says why the generator has ended.
func (g *Generator) why() error {
	if cause := context.Cause(g.life); cause != nil {
		return cause
	}
	return context.Cause(g.node.Context())
}

// Close ends the generator and gives back the time that it has reserved and not
// used, so that the next holder of the node number need not start above it. Call it
// before the node number is given up. It takes two seconds at most. An error says
// that the time could not be given back, which costs the order of IDs and nothing
// else. Calls of Next under way and later ones end with backend.ErrClosed.
func (g *Generator) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	g.mu.Unlock()
	g.release()
	g.end(backend.ErrClosed)
	// From here on no call can take the moment after last.
	last := moment(g.last.Swap(uint64(ended)))
	g.running.Wait()
	if last == ended || g.until.Load() < 0 {
		return nil // the number was lost, or nothing was reserved
	}
	if err := g.giveBack(last.ms()); err != nil {
		return fmt.Errorf("%s: close: %w", g.label, err)
	}
	return nil
}
