package counter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/removable"
)

// ErrOutOfRange: the result would lie outside the bounds of the counter, or of
// its type; nothing was applied.
var ErrOutOfRange = errors.New("out of range")

// Options are the options of a Counter; nil means the defaults.
type Options struct {
	// Min and Max bound the value; nil means the bounds of int64. They are not
	// stored: all writers of a counter must agree on them. A counter begins at
	// zero whatever they are.
	Min, Max *int64
}

// Counter is one writer of a named counter, whose value all processes share. It
// does not need to be closed. Its methods may be called concurrently. Adds that
// arrive while another is under way are sent together, as one commit. So one
// Counter for all goroutines of a process is much faster than several. Several
// of one name are as safe as several processes are.
type Counter struct {
	store    *backend.Store
	label    backend.Subject // names the counter in errors, the log and the trace
	place    *removable.Document
	writer   string // no other Counter, here or elsewhere, has it
	min, max int64
	limit    int // entries in the document

	mu      sync.Mutex
	queue   []*operation // not yet in a batch
	batch   []*operation // with the worker
	live    int          // of the batch, how many are still waited for
	abandon context.CancelFunc
	flying  bool // a commit of the batch is under way
	doubt   bool // one is in doubt
	working bool // the worker runs

	// The worker's own.
	seq       uint64          // of the batch
	known     bool            // base is
	base      base            // the last document known
	sent      counterDocument // what the batch made of it, when last sent
	unsettled bool            // whether that was applied is to be found out
	turns     turns           // when it may commit
	unknown   error           // of a commit that is to be found out about before it is sent again
}

// New returns a Counter. It does no I/O. Arguments that make no sense are
// backend.ErrInvalid; name may be any text of 1 to 100 bytes, see backend.Path.
func New(store *backend.Store, name string, options *Options) (*Counter, error) {
	dir, err := backend.Path(backend.KindCounter, name)
	if err != nil {
		return nil, fmt.Errorf("counter: %w", err)
	}
	c, err := newCounter(store, backend.Subject{Kind: backend.KindCounter, Name: name}, dir, "value")
	if err != nil {
		return nil, err
	}
	if options != nil && options.Min != nil {
		c.min = *options.Min
	}
	if options != nil && options.Max != nil {
		c.max = *options.Max
	}
	if c.min > c.max {
		return nil, fmt.Errorf("%s: %w: Options.Min is %d, Options.Max is %d", c.label, backend.ErrInvalid, c.min, c.max)
	}
	return c, nil
}

// newCounter returns a Counter whose document has that name in dir.
func newCounter(store *backend.Store, label backend.Subject, dir, document string) (*Counter, error) {
	if store == nil {
		return nil, fmt.Errorf("%s: %w: the store is nil", label, backend.ErrInvalid)
	}
	writer := rand.Text()
	return &Counter{
		store: store, label: label, place: removable.New(store, label.Kind, dir, document), writer: writer, turns: turns{writer: writer},
		min: math.MinInt64, max: math.MaxInt64, limit: maxEntries, seq: 1,
	}, nil
}

// Name returns the name of the counter.
func (c *Counter) Name() string { return c.label.Name }

// Add adds delta, which may be negative, and returns the value right after it.
// It is applied once, however often replies are lost or connections break. Adds
// are linearizable: each takes effect at one instant between call and return,
// in one order for all processes.
//
// It waits through outages of the store until ctx ends. If ctx ends before the
// add was sent, the error wraps the cause alone, and nothing is ever applied.
// If it ends later, the error also wraps backend.ErrIndeterminate: the add is
// applied once or never, now or later. It is never applied after a later Add of
// this Counter was acknowledged, unless the store is restored.
//
// Other errors: ErrOutOfRange if the result would break the bounds, also if
// other adds of the same commit succeed; backend.ErrDenied, ErrFormat,
// ErrClosed. Nothing is applied, unless the error also wraps
// backend.ErrIndeterminate. Without an end of ctx that means that the outcome
// of the add can no longer be found: see the package's documentation.
func (c *Counter) Add(ctx context.Context, delta int64) (int64, error) {
	op := &operation{delta: delta}
	if err := c.do(ctx, op); err != nil {
		return 0, fmt.Errorf("%s: add: %w", c.label, err)
	}
	return op.value, nil
}

// CompareAndSet sets the value to next if it is old, and reports whether it
// was. A counter that nobody has written is zero. It is like Add in all else;
// next outside the bounds is ErrOutOfRange at once.
func (c *Counter) CompareAndSet(ctx context.Context, old, next int64) (swapped bool, err error) {
	if next < c.min || next > c.max {
		return false, fmt.Errorf("%s: compare and set: %w: %d is not in %d to %d", c.label, ErrOutOfRange, next, c.min, c.max)
	}
	op := &operation{compare: true, old: old, next: next}
	if err := c.do(ctx, op); err != nil {
		return false, fmt.Errorf("%s: compare and set: %w", c.label, err)
	}
	return op.accepted, nil
}

// Value returns the value, by a linearizable read: it includes all that was
// acknowledged before the call. A counter that nobody has written is zero.
// Where the store does not answer within backend.Options.CallTimeout, the
// error is backend.ErrUnavailable. Other errors: backend.ErrDenied, ErrFormat,
// ErrClosed.
func (c *Counter) Value(ctx context.Context) (int64, error) {
	look, err := c.place.Look(ctx)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.label, err)
	}
	b, err := baseOf(look)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.label, err)
	}
	return b.Value, nil
}

// Delete deletes the counter from the store. If somebody adds to it later it
// begins at zero again. Processes may use the counter meanwhile:
//
//   - An Add that was acknowledged before Delete was called is deleted.
//   - An Add that is under way is part of the counter that is deleted, or of the
//     one that begins at zero. If a reply to it is lost as well, the error is
//     backend.ErrIndeterminate. That can also meet the first Add of a process that
//     did not know of the deletion.
//   - An Add that was given up, with backend.ErrIndeterminate, before Delete was
//     called is never applied to the new counter.
//
// It waits as long as it takes, through outages of the store, until ctx ends. A
// deletion that was given up may be made later: it then deletes the counter that
// was there at the call, and no later one. Other errors: backend.ErrDenied,
// ErrFormat, ErrClosed.
//
// One key stays for all counters of a namespace, however many are deleted. On
// ZooKeeper an empty node stays for each name.
func (c *Counter) Delete(ctx context.Context) error {
	return deleteDocument(ctx, c.store, c.label, c.place, nil)
}

func deleteDocument(ctx context.Context, store *backend.Store, label backend.Subject, place *removable.Document, highest func(backend.Entry) (uint64, error)) error {
	target := ""
	err := store.Retry(ctx, label, "delete", func(ctx context.Context) error {
		return place.Delete(ctx, &target, highest)
	})
	if err != nil {
		return fmt.Errorf("%s: delete: %w", label, err)
	}
	return nil
}

// do queues an operation and waits for its outcome.
func (c *Counter) do(ctx context.Context, op *operation) error {
	if ctx.Err() != nil {
		return fmt.Errorf("not sent: %w", context.Cause(ctx))
	}
	op.settled = make(chan struct{})
	c.mu.Lock()
	c.queue = append(c.queue, op)
	if !c.working {
		c.working = true
		go c.work()
	}
	c.mu.Unlock()
	select {
	case <-op.settled:
		return op.err
	case <-ctx.Done():
		return c.giveUp(op, context.Cause(ctx))
	}
}

// giveUp returns the outcome of an operation whose caller waits no longer.
func (c *Counter) giveUp(op *operation, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if op.done {
		return op.err
	}
	op.done = true
	if !op.taken {
		return fmt.Errorf("not sent: %w", cause)
	}
	if c.live--; c.live == 0 {
		c.abandon() // nobody waits for this batch: on with the next
	}
	if op.accepted && (c.flying || c.doubt) {
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, cause)
	}
	op.out = true
	return fmt.Errorf("not applied: %w", cause)
}
