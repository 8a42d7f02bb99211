package driver

import (
	"errors"
	"fmt"
)

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

	// ErrDenied: the store refused for lack of permission. A refusal may pass:
	// see the error policy of package backend.
	ErrDenied = errors.New("permission denied")

	// ErrTooLarge: a value or a commit exceeds MaxValueBytes, MaxTxnBytes or
	// MaxOps, or a limit of the store below them.
	ErrTooLarge = errors.New("too large")

	// ErrInvalid: an argument is malformed. The message names it.
	ErrInvalid = errors.New("invalid argument")

	// ErrClosed: the driver was closed.
	ErrClosed = errors.New("closed")
)

// Kinds of the errors above. Each wraps the one that it is a kind of.
var (
	// ErrOverloaded is the ErrUnavailable of a store that refuses for load: too
	// many requests, too many connections. A driver that has seen it slows down
	// all its requests, see Pacer.
	ErrOverloaded = fmt.Errorf("%w: refused for load", ErrUnavailable)

	// ErrUnknownCredential is the ErrDenied of a server that does not know the
	// credential. A server that starts, or that is behind, may say so of a valid
	// one.
	ErrUnknownCredential = fmt.Errorf("%w: the server does not know the credential", ErrDenied)
)
