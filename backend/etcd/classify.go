package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/backend/driver"
)

// fate is what may have become of a request whose call failed for a reason
// that says nothing about it.
type fate int

const (
	// asked: it could not change anything.
	asked fate = iota
	// unsent: no server was ever chosen for it, so it never left.
	unsent
	// maybeApplied: it was sent, or may have been.
	maybeApplied
)

// refusals are the errors with which a server says that it did not apply a
// request and never will, and what they are to the caller. All of them are
// returned before the request is proposed, or by the deterministic check with
// which every server begins to apply it. Not among them, though the code is
// Unavailable like that of "no leader": request timed out, leader changed,
// server stopped. A server returns these for proposals that it has made. Nor
// "database space exceeded": a server that runs out of space while it applies a
// transaction applies it and returns this.
var refusals = map[string]error{
	rpctypes.ErrPermissionDenied.Error(): driver.ErrDenied,
	rpctypes.ErrUserEmpty.Error():        driver.ErrDenied, // authentication is on, the client names no user
	rpctypes.ErrUserNotFound.Error():     driver.ErrDenied,
	rpctypes.ErrAuthFailed.Error():       driver.ErrDenied,
	rpctypes.ErrInvalidAuthMgmt.Error():  driver.ErrDenied,
	// A server that is behind does not know the newest tokens yet; who may not
	// have one is told when the client asks for it.
	rpctypes.ErrInvalidAuthToken.Error(): driver.ErrUnavailable,
	rpctypes.ErrAuthOldRevision.Error():  driver.ErrUnavailable,
	rpctypes.ErrLeaseNotFound.Error():    driver.ErrSessionLost,
	rpctypes.ErrLeaseTTLTooLarge.Error(): driver.ErrInvalid,
	rpctypes.ErrRequestTooLarge.Error():  driver.ErrTooLarge,
	rpctypes.ErrTooManyOps.Error():       driver.ErrTooLarge,
	rpctypes.ErrTooManyRequests.Error():  driver.ErrOverloaded,  // what is proposed and not applied has grown too much
	rpctypes.ErrNoLeader.Error():         driver.ErrUnavailable, // by the check that WithRequireLeader asks for
	notForLearner:                        driver.ErrUnavailable,
}

// notForLearner is the refusal of a server that is a learner. Its name in rpctypes
// differs between releases.
const notForLearner = "etcdserver: rpc not supported for learner"

// deadlineSlack is how much earlier than its client a server may find that a
// deadline has passed.
const deadlineSlack = 50 * time.Millisecond

// classify wraps err, with which the store answered or did not, as what it is
// to the caller (C4).
func (d *Driver) classify(ctx context.Context, err error, f fate) error {
	var never notSent
	if errors.As(err, &never) {
		err, f = never.error, min(f, unsent)
	}
	native := rpctypes.Error(err)
	if sentinel, refused := refusals[rpctypes.ErrorDesc(native)]; refused {
		return fmt.Errorf("%w: %w", sentinel, native)
	}
	code := status.Code(err)
	switch {
	case code == codes.PermissionDenied:
		return fmt.Errorf("%w: %w", driver.ErrDenied, native)
	case code == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max"):
		// The server's limit on a message: it did not look at it. The client
		// sets none that could refuse the reply.
		return fmt.Errorf("%w: %w", driver.ErrTooLarge, native)
	}
	sentinel := driver.ErrUnavailable
	switch {
	case f == maybeApplied:
		sentinel = driver.ErrIndeterminate
	case code == codes.ResourceExhausted && rpctypes.ErrorDesc(native) != rpctypes.ErrNoSpace.Error():
		sentinel = driver.ErrOverloaded // a limit of a proxy
	}
	cause := context.Cause(ctx)
	if deadline, ok := ctx.Deadline(); cause == nil && ok && code == codes.DeadlineExceeded && time.Until(deadline) < deadlineSlack {
		// The server knows the deadline too, and was first.
		cause = context.DeadlineExceeded
	}
	switch {
	case cause == nil && d.client.Ctx().Err() != nil:
		cause = fmt.Errorf("%w: the etcd client was closed", driver.ErrClosed)
	case cause == nil && d.life.Err() != nil:
		cause = driver.ErrClosed
	case cause == nil:
		return fmt.Errorf("%w: %w", sentinel, native)
	}
	if errors.Is(cause, driver.ErrClosed) && f != maybeApplied {
		return fmt.Errorf("%w: %w", cause, native)
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(cause, ended) {
		cause = fmt.Errorf("%w: %w", ended, cause)
	}
	return fmt.Errorf("%w: %w: %w", sentinel, cause, native)
}
