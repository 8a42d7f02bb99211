package driver

import "errors"

// The errors a driver returns. Each wraps the store's own error, which stays
// reachable through errors.As and errors.Is (C4).
var (
	// ErrUnavailable: the store could not be asked, or refused to answer for
	// now. For a commit it means that it was surely not applied and never will
	// be; sending it again is safe.
	ErrUnavailable = errors.New("store unavailable")

	// ErrIndeterminate: the commit may have been applied, or may yet be, at
	// any later time. Only commits return it.
	ErrIndeterminate = errors.New("commit outcome unknown")

	// ErrSessionLost: the lease is gone, and every key it owned with it.
	ErrSessionLost = errors.New("session lost")

	// ErrNotCounted: the store answered a renewal, but the answer does not
	// prove that the lease was prolonged.
	ErrNotCounted = errors.New("renewal not counted")

	// ErrDenied: the store refused for lack of permission. Trying again is in
	// vain until somebody changes that.
	ErrDenied = errors.New("permission denied")

	// ErrTooLarge: a value or a commit exceeds MaxValueBytes, MaxTxnBytes or
	// MaxOps, or a limit of the store below them.
	ErrTooLarge = errors.New("too large")

	// ErrInvalid: an argument is malformed. The message names it.
	ErrInvalid = errors.New("invalid argument")

	// ErrClosed: the driver was closed.
	ErrClosed = errors.New("closed")
)
