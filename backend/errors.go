package backend

import (
	"context"
	"errors"
	"fmt"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/document"
)

// The errors of the library. All of them are matched with errors.Is; the
// store's own error stays reachable through errors.As.
var (
	// ErrUnavailable: the store could not be asked. A commit that failed with
	// it was surely not applied.
	ErrUnavailable = driver.ErrUnavailable
	// ErrIndeterminate: a commit was sent and its outcome is not known. It may
	// be applied, now or at any later time.
	ErrIndeterminate = driver.ErrIndeterminate
	// ErrSessionLost: the session is over, and what it owned with it.
	ErrSessionLost = driver.ErrSessionLost
	// ErrFenced: the ownership of a guard is over, so the commit was not
	// applied. Another process is the owner, or nobody is.
	ErrFenced = errors.New("fenced: the guard no longer stands")
	// ErrDenied: the store refused for lack of permission. Retry tries again for
	// a while, since a refusal may pass; a single call returns it at once.
	ErrDenied = driver.ErrDenied
	// ErrTooLarge: a value or a commit exceeds the limits.
	ErrTooLarge = driver.ErrTooLarge
	// ErrInvalid: an argument is malformed. The message names it.
	ErrInvalid = driver.ErrInvalid
	// ErrClosed: the Store was closed.
	ErrClosed = driver.ErrClosed
	// ErrFormat: a stored document has a format this version does not know.
	ErrFormat = document.ErrFormat
)

// withCause adds to err why ctx ended, unless err says so already.
func withCause(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
