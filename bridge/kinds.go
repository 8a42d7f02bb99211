package bridge

import (
	"context"
	"errors"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/lock"
	"github.com/quorate/quorate/partition"
)

// kind is the word for an error that wraps another.
type kind struct {
	is   error
	word string
}

// The first that matches counts: what is more telling comes first. An outcome
// that is not known stays so for whatever reason.
var errorKinds = []kind{
	{backend.ErrIndeterminate, "indeterminate"},
	{backend.ErrSessionLost, "session_lost"},
	{backend.ErrFenced, "fenced"},
	{backend.ErrDenied, "denied"},
	{backend.ErrTooLarge, "too_large"},
	{backend.ErrInvalid, "invalid"},
	{backend.ErrFormat, "format"},
	{backend.ErrClosed, "closed"},
	{backend.ErrUnavailable, "unavailable"},
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "canceled"},
}

var causeKinds = []kind{
	{election.ErrResigned, "resigned"},
	{lock.ErrUnlocked, "unlocked"},
	{partition.ErrMoved, "moved"},
	{partition.ErrGaveUp, "gave_up"},
	{partition.ErrDrainTimeout, "drain_timeout"},
	{backend.ErrSessionLost, "session_lost"},
	{backend.ErrClosed, "closed"},
	{election.ErrLost, "lost"},
	{lock.ErrLost, "lost"},
	{partition.ErrLost, "lost"},
	{context.DeadlineExceeded, "ended"},
	{context.Canceled, "ended"},
}

// ErrorKind returns a word for an error of backend.Trace: "indeterminate",
// "session_lost", "fenced", "denied", "too_large", "invalid", "format",
// "closed", "unavailable", "timeout", "canceled" or Other; "none" for nil.
func ErrorKind(err error) string { return word(errorKinds, err) }

// CauseKind returns a word for why an ownership ended:
//
//	resigned       the leader resigned, or its body returned
//	unlocked       the holder gave the lock back, or its function returned
//	moved          the plan gives the slot to another member
//	gave_up        the body of the slot returned too often
//	drain_timeout  Run ends since another body did not return
//	session_lost   the session was over
//	closed         the Store was closed
//	lost           the key was gone from the store, or another reason to stop
//	ended          the service's context was canceled, or its time was up
//	other          the service's context ended with a cause of the service's own
//	none           there is no cause
func CauseKind(cause error) string { return word(causeKinds, cause) }

func word(kinds []kind, err error) string {
	if err == nil {
		return "none"
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return k.word
		}
	}
	return Other
}
