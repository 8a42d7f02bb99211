package quota

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/removable"
)

// MinWindow is the shortest window.
const MinWindow = 100 * time.Millisecond

// Options are the options of a Quota; nil means the defaults.
type Options struct {
	// MaxShare bounds how many units this process reserves at a time (default: as
	// many as it was granted in the window, and an eighth of what is left). With 1
	// each Take of one unit is a commit, and nothing is refused while anything is
	// left.
	MaxShare int64
}

// Quota is one process's access to a named quota. It does not need to be closed.
// Its methods may be called concurrently.
type Quota struct {
	store    *backend.Store
	label    backend.Subject
	place    *removable.Document
	limit    int64
	window   time.Duration
	maxShare int64
	wall     func() time.Time // time.Now, except in tests

	turn chan struct{} // holds one while a reservation is under way

	mu    sync.Mutex // guards what follows
	share share
	// seen is the latest state of the document that this process knows of, and
	// since is when it first saw that window.
	seen  state
	since time.Time
}

// New returns the quota of a name: limit units per window, at least MinWindow, to
// all processes that use the name. It does no I/O. The name is any text of 1 to
// 100 bytes, see backend.Path. Arguments that make no sense are backend.ErrInvalid.
func New(store *backend.Store, name string, limit int64, window time.Duration, options *Options) (*Quota, error) {
	dir, err := backend.Path(backend.KindQuota, name)
	if err != nil {
		return nil, fmt.Errorf("quota: %w", err)
	}
	q := &Quota{
		store: store, label: backend.Subject{Kind: backend.KindQuota, Name: name},
		place: removable.New(store, backend.KindQuota, dir, "window"),
		limit: limit, window: window.Truncate(time.Millisecond), maxShare: limit,
		wall: time.Now, turn: make(chan struct{}, 1),
	}
	switch {
	case store == nil:
		return nil, fmt.Errorf("%s: %w: the store is nil", q.label, backend.ErrInvalid)
	case limit < 1:
		return nil, fmt.Errorf("%s: %w: the limit is %d, at least 1 is allowed", q.label, backend.ErrInvalid, limit)
	case window < MinWindow:
		return nil, fmt.Errorf("%s: %w: the window is %v, at least %v is allowed", q.label, backend.ErrInvalid, window, MinWindow)
	case options != nil && options.MaxShare < 0:
		return nil, fmt.Errorf("%s: %w: Options.MaxShare is negative", q.label, backend.ErrInvalid)
	case options != nil && options.MaxShare > 0:
		q.maxShare = options.MaxShare
	}
	return q, nil
}

// Name returns the name of the quota.
func (q *Quota) Name() string { return q.label.Name }

// Take takes n units of the present window, all or none, and reports whether they
// were granted. Most calls do no I/O. A call that needs a reservation waits as long
// as the store is unavailable, until ctx ends; nothing is granted then.
//
// Errors: backend.ErrInvalid if n is not between 1 and the limit; ErrDenied,
// ErrFormat, ErrClosed; the cause of ctx.
func (q *Quota) Take(ctx context.Context, n int64) (granted bool, err error) {
	granted, _, err = q.take(ctx, n)
	return granted, err
}

// take is Take, and says in which window the units were granted.
func (q *Quota) take(ctx context.Context, n int64) (granted bool, window int64, err error) {
	if n < 1 || n > q.limit {
		return false, 0, fmt.Errorf("%s: take: %w: %d units, 1 to %d are allowed", q.label, backend.ErrInvalid, n, q.limit)
	}
	if ctx.Err() != nil {
		return false, 0, fmt.Errorf("%s: take: %w", q.label, context.Cause(ctx))
	}
	for {
		switch outcome, window := q.try(n); outcome {
		case yes:
			return true, window, nil
		case no:
			return false, window, nil
		default: // more units are to be reserved
		}
		if err := q.refill(ctx, n); err != nil {
			return false, 0, fmt.Errorf("%s: take: %w", q.label, err)
		}
	}
}

// Ends returns when the present window ends, as far as this process knows. A call
// that was refused may be granted then. It does no I/O.
func (q *Quota) Ends() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.wall()
	start := q.present(now)
	if own := q.own(now); start > own { // the clock is behind, or was wrong elsewhere
		return now.Add(q.window - time.Since(q.since))
	}
	return time.UnixMilli(start).Add(q.window)
}

// Delete deletes the quota from the store. Processes may use it meanwhile: it
// begins anew, so up to the limit may be granted again in the present window.
//
// It waits as long as the store is unavailable, until ctx ends. A deletion that was
// given up may be made later; it does not delete what began after a later one. One
// key stays for all quotas of a namespace, and on ZooKeeper an empty node for each
// name. Errors: backend.ErrDenied, ErrFormat, ErrClosed; the cause of ctx.
func (q *Quota) Delete(ctx context.Context) error {
	target := ""
	err := q.store.Retry(ctx, q.label, "delete", func(ctx context.Context) error {
		return q.place.Delete(ctx, &target, nil)
	})
	if err != nil {
		return fmt.Errorf("%s: delete: %w", q.label, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.share, q.seen, q.since = share{}, state{}, time.Time{}
	return nil
}
