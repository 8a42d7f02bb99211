package zookeeper

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// throttled is the client's text for the code -127, which it has no name for: a
// server with zookeeper.throttled_op_wait_time drops a request that waited in
// its queue for too long, before it looks at it.
const throttled = "unknown error: -127"

// classify says what a request's failure means. maybe says that the request
// may have been sent, and would have changed something: then what is not known
// to be unsent or refused is ErrIndeterminate.
func classify(err error, maybe bool) error {
	sentinel := driver.ErrUnavailable
	switch {
	case errors.Is(err, zk.ErrNoAuth), errors.Is(err, zk.ErrAuthFailed):
		sentinel = driver.ErrDenied
	case strings.HasSuffix(err.Error(), throttled):
		sentinel = driver.ErrOverloaded
	case errors.Is(err, zk.ErrInvalidACL), errors.Is(err, zk.ErrNoChildrenForEphemerals), errors.Is(err, zk.ErrNotEmpty), errors.Is(err, zk.ErrInvalidPath):
		sentinel = driver.ErrInvalid
	case errors.Is(err, zk.ErrShortBuffer):
		sentinel = driver.ErrTooLarge // the client found no room to write it down
	case errors.Is(err, zk.ErrNoServer), errors.Is(err, errConnLost):
		// The client had not sent it when it looked for another server.
	case errors.Is(err, zk.ErrSessionExpired), errors.Is(err, zk.ErrSessionMoved):
		// The leader says so before it looks at the request.
	case maybe:
		// Among them ErrConnectionClosed and ErrClosing, which the client says
		// of what it has sent and of what it has not.
		sentinel = driver.ErrIndeterminate
	}
	if errors.Is(err, sentinel) {
		return err
	}
	return fmt.Errorf("%w: %w", sentinel, err)
}
