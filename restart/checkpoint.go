package restart

import (
	"context"
	"fmt"

	"github.com/quorate/quorate/backend"
)

// Checkpoint is the progress of one worker, in whichever process it runs: a
// value that is claimed when the work begins, and saved as it continues. Only
// the last claimant can save.
//
// A Claim returns the value of the last Save that was acknowledged, or of a
// later Save whose outcome its caller never learned. So the work after the last
// acknowledged save is done again. Its effects must be idempotent, or guarded
// by the same guards in the same store.
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
// was, found is false and value is the zero value of T. From then on the store
// refuses every save of an earlier claimant, also one that is still under way. The guards, of an office
// or a slot, are a condition of this claim and of each save under it; there may
// be none.
//
// It waits through outages of the store until ctx ends; the error then wraps
// its cause. The claim may still be made, now or later. It then fences earlier
// claimants, and no later one. After any error this Checkpoint holds no claim.
// Other errors: backend.ErrFenced if the ownership of a guard is over;
// ErrFormat if the stored value cannot be read, and then nothing was claimed;
// ErrDenied, ErrInvalid, ErrClosed.
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

// Save stores a value and returns nil once that is known. The error is
// backend.ErrFenced if another process has claimed the checkpoint, or the
// ownership of a guard is over. Every later Save of this Checkpoint is refused
// too, until the next Claim. If the error also is backend.ErrIndeterminate, the
// value may have been stored before that, and the other process may have begun
// with it.
//
// It waits through outages of the store until ctx ends. The error then wraps
// the cause, and backend.ErrIndeterminate if the value may still be stored. The
// claim continues, and the next Save settles it: no earlier save lands on top
// of a later one. Without ErrIndeterminate nothing was stored, and nothing will
// be. Other errors: ErrTooLarge for a value that takes more than 248 KiB as it
// is stored; ErrInvalid for one that cannot be encoded, or without a Claim;
// ErrDenied, ErrFormat, ErrClosed.
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
