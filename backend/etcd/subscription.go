package etcd

import (
	"errors"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errStaleToken is why a stream that was opened long ago is refused a watch.
var errStaleToken = errors.New("the watch stream's token has expired")

func isStale(err error) bool { return errors.Is(err, errStaleToken) }

// subscription is one watch on a stream. Its stream's mutex guards it.
type subscription struct {
	stream  *watchStream
	request *pb.WatchCreateRequest
	news    chan struct{} // one token: there is something to take
	id      int64
	replies []*pb.WatchResponse
	err     error
	cut     bool // it failed because its stream did
	closed  bool
}

// take returns what came since it was last called, and why the watch failed if
// it did, and whether that was because its stream did.
func (sub *subscription) take() (replies []*pb.WatchResponse, cut bool, err error) {
	sub.stream.mu.Lock()
	defer sub.stream.mu.Unlock()
	replies = sub.replies
	sub.replies = nil
	return replies, sub.cut, sub.err
}

func (sub *subscription) push(reply *pb.WatchResponse) {
	sub.replies = append(sub.replies, reply)
	sub.signal()
}

func (sub *subscription) fail(err error) {
	sub.err = err
	sub.signal()
}

func (sub *subscription) signal() {
	select {
	case sub.news <- struct{}{}:
	default:
	}
}

// close ends the watch, and its stream with the last one.
func (sub *subscription) close() {
	s := sub.stream
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.closed {
		return
	}
	sub.closed = true
	if s.live[sub.id] == sub {
		delete(s.live, sub.id)
		s.forget(sub.id)
	}
	if isStale(sub.err) && s.hub.current == s {
		s.hub.current = nil // the others stay on it
	}
	s.users--
	if s.users == 0 {
		s.ended = true
		if s.hub.current == s {
			s.hub.current = nil
		}
		s.cancel(errors.New("the stream's last watch ended"))
	}
}

// canceled returns why the server ended a watch, or refused it, which it says
// in words.
func canceled(reply *pb.WatchResponse) error {
	if reply.GetCompactRevision() != 0 {
		return rpctypes.ErrCompacted
	}
	reason := reply.GetCancelReason()
	for _, stale := range []error{rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCAuthOldRevision, rpctypes.ErrGRPCUserEmpty} {
		if strings.Contains(reason, rpctypes.ErrorDesc(stale)) {
			return fmt.Errorf("%w: %w", errStaleToken, rpctypes.Error(stale))
		}
	}
	if denied := rpctypes.ErrGRPCPermissionDenied; strings.Contains(reason, rpctypes.ErrorDesc(denied)) {
		return rpctypes.Error(denied)
	}
	return status.Error(codes.Unavailable, "watch canceled by the server: "+reason)
}
