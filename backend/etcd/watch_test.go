package etcd

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/backend/driver"
)

// resuming serves streams of which the first ends after an event. It passes on
// from which revisions watches begin.
func resuming(from chan<- int64) func(grpc.ServerStream) error {
	var streams atomic.Int64
	return func(stream grpc.ServerStream) error {
		var request pb.WatchRequest
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		from <- request.GetCreateRequest().GetStartRevision()
		_ = stream.SendMsg(&pb.WatchResponse{Header: header(12), WatchId: 1, Created: true})
		if streams.Add(1) == 1 {
			_ = stream.SendMsg(&pb.WatchResponse{Header: header(12), WatchId: 1, Events: []*mvccpb.Event{put("a/1", "", 12)}})
			return status.Error(codes.Unavailable, "the connection is lost")
		}
		_ = stream.SendMsg(&pb.WatchResponse{Header: header(13), WatchId: 1, Events: []*mvccpb.Event{put("a/2", "", 13)}})
		<-stream.Context().Done()
		return nil
	}
}

// TestWatchResumes: the stream of a watch ends. It goes on from what it has
// seen, and does not read at that moment.
func TestWatchResumes(t *testing.T) {
	f := startFake(t)
	f.unary = emptyTxn(10)
	from := make(chan int64, 10)
	f.watch = resuming(from)
	states, ended := watching(t, f.driver(t))
	for _, want := range []int{0, 1, 2} {
		if state := within(t, "a state", states); len(state) != want {
			t.Errorf("the state is %v, want %d entries", state, want)
		}
	}
	if first, second := <-from, <-from; first != 11 || second != 13 {
		t.Errorf("watched from revision %d, then %d, want 11 and 13", first, second)
	}
	if n := f.count(txnMethod); n != 1 {
		t.Errorf("%d reads, want the one at the start", n)
	}
	select {
	case err := <-ended:
		t.Errorf("the watch ended: %v", err)
	default:
	}
}

// TestWatchReadsAfterItResumed: what it reads then counts, for the store may be
// another one by now.
func TestWatchReadsAfterItResumed(t *testing.T) {
	for name, c := range map[string]struct {
		revision int64
		ends     bool
	}{
		"a store that went on":   {20, false},
		"a store that went back": {5, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t)
			var reads atomic.Int64
			f.unary = func(method string, stream grpc.ServerStream) error {
				if reads.Add(1) == 1 {
					return emptyTxn(10)(method, stream)
				}
				return emptyTxn(c.revision)(method, stream)
			}
			f.watch = resuming(make(chan int64, 10))
			states, ended := watching(t, f.driver(t))
			for range 3 {
				within(t, "a state", states)
			}
			began := time.Now()
			if c.ends {
				if err := within(t, "the end of the watch", ended); !errors.Is(err, driver.ErrUnavailable) {
					t.Errorf("Watch = %v, want ErrUnavailable", err)
				}
			} else if state := within(t, "what was read", states); len(state) != 0 {
				t.Errorf("what was read is not what is shown: %v", state)
			}
			if took, limit := time.Since(began), 2*readAfter+time.Second; took > limit {
				t.Errorf("the read came after %v, want at most %v", took, limit)
			}
		})
	}
}

// TestWatchResumesOnce: a stream that does not let a watch stand ends it.
func TestWatchResumesOnce(t *testing.T) {
	f := startFake(t)
	f.unary = emptyTxn(10)
	var streams atomic.Int64
	f.watch = func(stream grpc.ServerStream) error {
		if err := stream.RecvMsg(&pb.WatchRequest{}); err != nil {
			return err
		}
		if streams.Add(1) == 1 {
			_ = stream.SendMsg(&pb.WatchResponse{Header: header(10), WatchId: 1, Created: true})
		}
		return status.Error(codes.Unavailable, "the connection is lost")
	}
	_, ended := watching(t, f.driver(t))
	if err := within(t, "the end of the watch", ended); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Watch = %v, want ErrUnavailable", err)
	}
	if n := streams.Load(); n != 2 {
		t.Errorf("%d streams, want 2", n)
	}
}

// TestWatchAsksAnother: the server that is asked for the first state accepts and
// stays silent. Nobody bounds a Watch but itself.
func TestWatchAsksAnother(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	var asked atomic.Int64
	answer := emptyTxn(10)
	f.unary = func(method string, stream grpc.ServerStream) error {
		if asked.Add(1) == 1 {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		return answer(method, stream)
	}
	f.watch = watchServer(func(grpc.ServerStream, int, int64) {})
	states, _ := watching(t, f.driver(t))
	within(t, "the first state", states)
}

// TestWatchGivesUpItsRead: all servers are silent. The watch ends, so that the
// client is told to connect again and the Store says what is wrong.
func TestWatchGivesUpItsRead(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.unary = func(_ string, stream grpc.ServerStream) error {
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	_, ended := watching(t, f.driver(t))
	if err := within(t, "the end of the watch", ended); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Watch = %v, want ErrUnavailable", err)
	}
}

// TestWatchDenied: who may not read is told so at once, and is not asked for again.
func TestWatchDenied(t *testing.T) {
	f := startFake(t)
	f.unary = func(string, grpc.ServerStream) error { return rpctypes.ErrGRPCPermissionDenied }
	begin := time.Now()
	_, ended := watching(t, f.driver(t))
	if err := within(t, "the end of the watch", ended); !errors.Is(err, driver.ErrDenied) {
		t.Errorf("Watch = %v, want ErrDenied", err)
	}
	if took := time.Since(begin); took > maxPause {
		t.Errorf("it took %v", took)
	}
	if n := f.count("/etcdserverpb.KV/Txn"); n != 1 {
		t.Errorf("the read was sent %d times", n)
	}
}
