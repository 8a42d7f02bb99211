package restart

import (
	"context"
	"fmt"

	"github.com/quorate/quorate/backend"
)

// Checkpoint is the progress of one worker, whichever process it runs in: a
// value that is claimed when the work begins, and saved as it goes on. Only the
// last one that claimed can save.
//
// A save that was acknowledged is what the next claim returns, unless a later
// one replaced it: one that was acknowledged, or one whose outcome its caller
// never knew. So what is done after the last acknowledged save is done again,
// and its effects have to be idempotent, or be guarded by the same guards in
// the same store.
//
// A Checkpoint does not need to be closed. Its methods may be called
// concurrently; they go one at a time.
type Checkpoint[T any] struct {
	store *backend.Store
	name  string
	key   string
	opts  CheckpointOptions[T]

	turn chan struct{} // holds one while a Claim or Save is on
	held *claim        // belongs to who has the turn; nil before a Claim succeeds
}

// NewCheckpoint returns the checkpoint of a name: any text of 1 to 100 bytes,
// see backend.Path. It does no I/O. Arguments that make no sense are
// backend.ErrInvalid.
func NewCheckpoint[T any](store *backend.Store, name string, options *CheckpointOptions[T]) (*Checkpoint[T], error) {
	if store == nil {
		return nil, fmt.Errorf("checkpoint: %w: the store is nil", backend.ErrInvalid)
	}
	key, err := backend.Path(backend.KindCheckpoint, name, "value")
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	c := &Checkpoint[T]{store: store, name: name, key: key, turn: make(chan struct{}, 1)}
	if options != nil {
		c.opts = *options
	}
	if (c.opts.Encode == nil) != (c.opts.Decode == nil) {
		return nil, fmt.Errorf("checkpoint: %w: of Encode and Decode one is set", backend.ErrInvalid)
	}
	return c, nil
}

// Name returns the name of the checkpoint.
func (c *Checkpoint[T]) Name() string { return c.name }

func (c *Checkpoint[T]) subject() backend.Subject {
	return backend.Subject{Kind: backend.KindCheckpoint, Name: c.name}
}

// Claim takes the checkpoint over and returns the value saved last. If none ever
// was, found is false and value is the zero value of T. From then on every save of whoever claimed
// before is refused, those that are still under way included. The guards, of an
// office or a slot, are a condition of this claim and of each save under it;
// there may be none.
//
// It waits as long as the store is away, until ctx ends; the error then wraps
// its cause. The claim may still have been made, or be made later: that fences
// who claimed before, and nobody who claims after. After any error this
// Checkpoint holds no claim. Other errors: backend.ErrFenced if a guard no
// longer stands; ErrFormat if what is stored cannot be read, and then nothing
// was claimed; ErrDenied, ErrInvalid, ErrClosed.
func (c *Checkpoint[T]) Claim(ctx context.Context, guards ...backend.Guard) (value T, found bool, err error) {
	var none T
	if err := c.enter(ctx); err != nil {
		return none, false, fmt.Errorf("checkpoint %q: claim: %w", c.name, err)
	}
	defer c.leave()
	c.held = nil
	value, found, held, err := c.claim(ctx, guards)
	if err != nil {
		return none, false, fmt.Errorf("checkpoint %q: claim: %w", c.name, err)
	}
	c.held = held
	c.store.Logger().Info("claimed", "checkpoint", c.name)
	return value, found, nil
}

// Save stores a value and returns nil once that is known. It is refused if
// somebody else has claimed the checkpoint, or a guard no longer stands: then
// the error is backend.ErrFenced, and every later Save of this Checkpoint is
// refused too, until the next Claim. If it also is backend.ErrIndeterminate, the
// value may have been stored before that, and be what the other one began with.
//
// It waits as long as the store is away, until ctx ends. The error then wraps
// the cause, and backend.ErrIndeterminate if the value may yet be stored:
// the claim stands, and the next Save settles it: no earlier save lands on top
// of a later one. Without ErrIndeterminate nothing was stored, and nothing will
// be, whatever the error. Other errors: ErrTooLarge for a value that takes more
// than 248 KiB as it is stored; ErrInvalid for one that cannot be encoded, or
// without a Claim; ErrDenied, ErrFormat, ErrClosed.
func (c *Checkpoint[T]) Save(ctx context.Context, value T) error {
	raw, err := c.opts.encode(value)
	if err != nil {
		return fmt.Errorf("checkpoint %q: save: %w", c.name, err)
	}
	if err := c.enter(ctx); err != nil {
		return fmt.Errorf("checkpoint %q: save: %w", c.name, err)
	}
	defer c.leave()
	if c.held == nil {
		return fmt.Errorf("checkpoint %q: save: %w: it was not claimed", c.name, backend.ErrInvalid)
	}
	if err := c.save(ctx, c.held, raw); err != nil {
		return fmt.Errorf("checkpoint %q: save: %w", c.name, err)
	}
	return nil
}

// enter waits for the turn.
func (c *Checkpoint[T]) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Checkpoint[T]) leave() { <-c.turn }
