package lock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/office"
)

// The errors of this package, beside those of package backend.
var (
	// ErrLost: the lock or permit is over, and not because its holder ended it.
	ErrLost = errors.New("lock lost")
	// ErrUnlocked: the lock or permit is over because its holder gave it back.
	ErrUnlocked = errors.New("unlocked")
	// ErrBusy: TryLock or TryAcquire found it held, or others waiting.
	ErrBusy = office.ErrBusy
	// ErrInUse: Remove found that a process holds it, or waits for it.
	ErrInUse = office.ErrInUse
)

// Options are the options of a Mutex or a Semaphore; nil means the
// defaults.
type Options struct {
	// ID names the holder to operators (default: the host's name and the
	// process's number). It need not be unique. It has 16 KiB at most.
	ID string

	// MinToken makes tokens start above it. Set it to the highest token ever
	// acted on after the store was lost or restored from a backup.
	MinToken uint64
}

// Held is a mutex or a permit that this process holds.
type Held struct{ tenure *office.Tenure }

// Token returns the fencing token: that of every later holder of the mutex, or
// of the permit with this number, is higher, whichever process that is.
func (h *Held) Token() uint64 { return h.tenure.Number() }

// Permit returns the number of the permit, from 0. No other process holds the
// permit with this number. It is 0 for a Mutex.
func (h *Held) Permit() int { return h.tenure.Seat() }

// Context ends when the lock does: with a cause that wraps ErrLost and says why,
// or ErrUnlocked; under Do also with the caller's context. It ends by itself at
// the end of the session's trust window, before the store can give the lock to
// another process.
func (h *Held) Context() context.Context { return h.tenure.Context() }

// Valid reports whether the lock is trusted at this instant. It compares clocks
// and does no I/O, so it tells the truth right after a pause of the process too,
// when Context has not yet ended.
func (h *Held) Valid() bool { return h.tenure.Valid() }

// Guard makes commits to the same Store depend on this lock.
func (h *Held) Guard() backend.Guard { return h.tenure.Guard() }

// Unlock ends the lock and gives it back, by one commit. Call it when the work
// done under Context has stopped: the next holder starts at once. If the lock is
// lost already, Unlock removes what is left of it.
//
// A nil error means that nothing of this lock is in the way of the next holder.
// Any other error says which keys are left: they are removed in the background,
// or go with the session. Unlock returns when the session ends, at the latest.
// If ctx ends with the lock itself, Unlock has two seconds. A later call waits
// for the first and returns the same.
func (h *Held) Unlock(ctx context.Context) error { return h.tenure.End(ctx) }

// newOffice makes the office of a mutex, or of a semaphore with permits.
func newOffice(store *backend.Store, of backend.Subject, permits int, options *Options) (*office.Office, error) {
	var opts Options
	if options != nil {
		opts = *options
	}
	if store == nil {
		return nil, fmt.Errorf("%s: %w: the store is nil", string(of.Kind), backend.ErrInvalid)
	}
	log := store.Logger()
	return office.New(store, office.Spec{
		Subject: of, ID: opts.ID, Above: opts.MinToken, Seats: permits, Removable: true, Lost: ErrLost, Ended: ErrUnlocked,
		OnBegin: func(t *office.Tenure) {
			log.Debug("lock taken", "kind", of.Kind, "name", of.Name, "permit", t.Seat(), "token", t.Number())
		},
		OnEnd: func(t *office.Tenure, lost bool, cause, body error) {
			level := slog.LevelDebug
			if lost {
				level = slog.LevelWarn
			}
			log.Log(context.Background(), level, "lock ended", "kind", of.Kind, "name", of.Name, "permit", t.Seat(), "token", t.Number(), "cause", cause, "body", body)
		},
	})
}

// held is what Campaign or Try of an office returned.
func held(t *office.Tenure, err error) (*Held, error) {
	if err != nil {
		return nil, err
	}
	return &Held{t}, nil
}

// take takes the lock for a caller that gives it back by Unlock.
func take(ctx context.Context, how func(ctx, base context.Context, ended func()) (*office.Tenure, error)) (*Held, error) {
	return held(how(ctx, context.WithoutCancel(ctx), func() {}))
}

// do runs fn under a lock of o.
func do(ctx context.Context, o *office.Office, fn func(context.Context, *Held) error) error {
	if fn == nil {
		return fmt.Errorf("lock: %w: the function is nil", backend.ErrInvalid)
	}
	t, err := o.Campaign(ctx, ctx, nil)
	if err != nil {
		return err
	}
	lost, err := t.Serve(ctx, func(ctx context.Context) error { return fn(ctx, &Held{t}) })
	if lost {
		return fmt.Errorf("lock: %w", office.WithCause(t.Context(), err))
	}
	return err
}
