package etcd

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/quorate/quorate/backend/driver"
)

func header(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{Revision: revision, RaftTerm: 2}
}

// watchServer grants every watch, and then calls serve for each.
func watchServer(serve func(stream grpc.ServerStream, n int, id int64)) func(grpc.ServerStream) error {
	return func(stream grpc.ServerStream) error {
		for n := 0; ; {
			var request pb.WatchRequest
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			if request.GetCreateRequest() == nil {
				continue
			}
			n++
			if err := stream.SendMsg(&pb.WatchResponse{Header: header(10), WatchId: int64(n), Created: true}); err != nil {
				return err
			}
			serve(stream, n, int64(n))
		}
	}
}

func put(key, value string, revision int64) *mvccpb.Event {
	return &mvccpb.Event{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{
		Key: []byte(key), Value: []byte(value), CreateRevision: revision, ModRevision: revision,
	}}
}

// watching starts a watch of the directory "a" and returns its states and end.
func watching(t *testing.T, d *Driver) (<-chan []driver.Entry, <-chan error) {
	t.Helper()
	states, ended := make(chan []driver.Entry, 100), make(chan error, 1)
	go func() { ended <- d.Watch(t.Context(), driver.Dir("a"), func(e []driver.Entry) { states <- e }) }()
	return states, ended
}

func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func TestWatchAppliesEvents(t *testing.T) {
	f := startFake(t)
	f.unary = emptyTxn(10)
	f.watch = watchServer(func(stream grpc.ServerStream, _ int, id int64) {
		_ = stream.SendMsg(&pb.WatchResponse{Header: header(11), WatchId: id, Events: []*mvccpb.Event{
			put("a/b/c", "too deep", 11), put("a/old", "read already", 10),
		}})
		_ = stream.SendMsg(&pb.WatchResponse{Header: header(12), WatchId: id + 7, Events: []*mvccpb.Event{put("a/other", "not ours", 12)}})
		_ = stream.SendMsg(&pb.WatchResponse{Header: header(13), WatchId: id, Events: []*mvccpb.Event{put("a/z", "1", 13), put("a/y", "1", 13)}})
		_ = stream.SendMsg(&pb.WatchResponse{Header: header(14), WatchId: id, Events: []*mvccpb.Event{
			{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: []byte("a/z"), ModRevision: 14}},
		}})
	})
	states, _ := watching(t, f.driver(t))
	if first := within(t, "the first state", states); len(first) != 0 {
		t.Errorf("the first state is %v", first)
	}
	for {
		state := within(t, "the last state", states)
		if len(state) == 0 {
			t.Error("a state was delivered though nothing had changed")
		}
		if len(state) == 1 {
			if e := state[0]; e.Key != "a/y" || string(e.Value) != "1" || e.Modified != 13 || e.Version != (driver.Version{Generation: 1, Number: 13}) {
				t.Errorf("the last state is %+v", state)
			}
			return
		}
		if len(state) != 2 || state[0].Key != "a/y" || state[1].Key != "a/z" {
			t.Errorf("a state is %+v", state)
		}
		for i := range state { // ours to change
			clear(state[i].Value)
		}
	}
}

// TestReadAsksAnother: two servers accept and stay silent.
func TestReadAsksAnother(t *testing.T) {
	f := startFake(t)
	var asked atomic.Int64
	answer := emptyTxn(10)
	f.unary = func(method string, stream grpc.ServerStream) error {
		if asked.Add(1) < attempts {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		return answer(method, stream)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := f.driver(t).Read(ctx, driver.Key("a")); err != nil {
		t.Errorf("Read: %v", err)
	}
}

// TestWatchEnds: whatever could make a watch miss something ends it.
func TestWatchEnds(t *testing.T) {
	for name, c := range map[string]struct {
		reply *pb.WatchResponse
		want  error
	}{
		"compacted": {&pb.WatchResponse{CompactRevision: 20, Canceled: true}, rpctypes.ErrCompacted},
		"canceled":  {&pb.WatchResponse{Canceled: true, CancelReason: "for a reason"}, driver.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			f.unary = emptyTxn(10)
			f.watch = watchServer(func(stream grpc.ServerStream, _ int, id int64) {
				c.reply.WatchId, c.reply.Header = id, header(20)
				_ = stream.SendMsg(c.reply)
			})
			_, ended := watching(t, f.driver(t))
			if err := within(t, "the end of the watch", ended); !errors.Is(err, c.want) || !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("Watch = %v, want %v and ErrUnavailable", err, c.want)
			}
		})
	}
	t.Run("denied", func(t *testing.T) {
		f := startFake(t)
		f.unary = emptyTxn(10)
		f.watch = func(stream grpc.ServerStream) error {
			_ = stream.RecvMsg(&pb.WatchRequest{})
			_ = stream.SendMsg(&pb.WatchResponse{
				Header: header(10), WatchId: -1, Created: true, Canceled: true, CancelReason: rpctypes.ErrGRPCPermissionDenied.Error(),
			})
			<-stream.Context().Done()
			return nil
		}
		_, ended := watching(t, f.driver(t))
		if err := within(t, "the end of the watch", ended); !errors.Is(err, driver.ErrDenied) {
			t.Errorf("Watch = %v, want ErrDenied", err)
		}
	})
}

// TestWatchWentBack: a reply to the watch shows a revision below the read's,
// and the next read does too.
func TestWatchWentBack(t *testing.T) {
	f := startFake(t)
	var reads atomic.Int64
	f.unary = func(method string, stream grpc.ServerStream) error {
		if reads.Add(1) == 1 {
			return emptyTxn(1000)(method, stream)
		}
		return emptyTxn(5)(method, stream)
	}
	f.watch = watchServer(func(grpc.ServerStream, int, int64) {})
	d := f.driver(t)
	_, ended := watching(t, d)
	if err := within(t, "the end of the watch", ended); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Watch = %v, want ErrUnavailable", err)
	}
	if g, _ := d.Generation(); g != 2 {
		t.Errorf("the generation is %d, want 2", g)
	}
	old := driver.Version{Generation: 1, Number: 7}
	result, err := d.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Put("a", nil, old)}})
	if err != nil || result.Applied || result.Current == nil {
		t.Errorf("a commit on a version from before: %+v, %v, want it refused", result, err)
	}
}

// TestWatchLags: a member that is merely behind the read does not end a watch.
func TestWatchLags(t *testing.T) {
	f := startFake(t)
	f.unary = emptyTxn(1000)
	f.watch = watchServer(func(stream grpc.ServerStream, _ int, id int64) {
		_ = stream.SendMsg(&pb.WatchResponse{Header: header(1001), WatchId: id, Events: []*mvccpb.Event{put("a/b", "1", 1001)}})
	})
	states, _ := watching(t, f.driver(t))
	within(t, "the first state", states)
	if state := within(t, "the event", states); len(state) != 1 {
		t.Errorf("the state is %v", state)
	}
}

// TestWatchLagsBehindSilence: the read that tells a member that lags from a
// store that went back is not answered, by one server or by all. The watch goes
// on, or ends, and is not deaf for long.
func TestWatchLagsBehindSilence(t *testing.T) {
	for name, silent := range map[string]int64{"of one": 1, "of all": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t)
			var unanswered atomic.Int64 // so many requests to come
			seen := make(chan struct{}) // the first state was
			answer := emptyTxn(1000)
			f.unary = func(method string, stream grpc.ServerStream) error {
				if unanswered.Add(-1) >= 0 {
					<-stream.Context().Done()
					return stream.Context().Err()
				}
				return answer(method, stream)
			}
			f.watch = watchServer(func(stream grpc.ServerStream, n int, id int64) {
				if n == 1 {
					<-seen
					_ = stream.SendMsg(&pb.WatchResponse{Header: header(1001), WatchId: id, Events: []*mvccpb.Event{put("a/b", "1", 1001)}})
				}
			})
			states, ended := watching(t, f.driver(t))
			within(t, "the first state", states)
			unanswered.Store(silent)
			close(seen)
			begin := time.Now()
			if silent == 1 {
				if state := within(t, "the event", states); len(state) != 1 {
					t.Errorf("the state is %v", state)
				}
			} else if err := within(t, "the end of the watch", ended); !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("Watch = %v, want ErrUnavailable", err)
			}
			if took, limit := time.Since(begin), firstRead+time.Second; took > limit {
				t.Errorf("the watch was deaf for %v, want at most %v", took, limit)
			}
		})
	}
}

// TestWatchProbed: a silent stream is asked for a sign of life, and goes on
// while it gives one.
func TestWatchProbed(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.unary = emptyTxn(10)
	probes := make(chan int, 100)
	f.watch = watchServer(func(stream grpc.ServerStream, n int, _ int64) {
		if n > 1 {
			probes <- n
		}
		if n == 3 {
			_ = stream.SendMsg(&pb.WatchResponse{Header: header(11), WatchId: 1, Events: []*mvccpb.Event{put("a/b", "1", 11)}})
		}
	})
	states, ended := watching(t, f.driver(t))
	within(t, "the first state", states)
	within(t, "a probe", probes)
	within(t, "a second probe", probes)
	within(t, "an event after the probes", states)
	select {
	case err := <-ended:
		t.Errorf("the watch ended though its probes were answered: %v", err)
	default:
	}
	if n := f.count("/etcdserverpb.Watch/Watch"); n != 1 {
		t.Errorf("%d streams, want 1", n)
	}
}

// TestWatchSilent: a stream that does not answer is given up, before its first
// reply and after. After it, another is tried.
func TestWatchSilent(t *testing.T) {
	for name, answers := range map[string]int{"from the start": 0, "later": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t)
			f.unary = emptyTxn(10)
			f.watch = func(stream grpc.ServerStream) error {
				first := f.count("/etcdserverpb.Watch/Watch") == 1
				for n := 1; ; n++ {
					if err := stream.RecvMsg(&pb.WatchRequest{}); err != nil {
						return err
					}
					if first && n <= answers {
						_ = stream.SendMsg(&pb.WatchResponse{Header: header(10), WatchId: int64(n), Created: true})
					}
				}
			}
			begin := time.Now()
			_, ended := watching(t, f.driver(t))
			err := within(t, "the end of the watch", ended)
			if !errors.Is(err, errSilent) || !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("Watch = %v, want it given up as silent", err)
			}
			limit := answerWithin + probeTick + 2*time.Second
			if answers > 0 {
				limit += probeAfter + answerWithin + 2*probeTick
			}
			if took := time.Since(begin); took > limit {
				t.Errorf("it took %v to notice, want at most %v", took, limit)
			}
		})
	}
}

// TestWatchesShareAStream: many watches are one stream; the end of one is not
// felt by the others; the last one takes the stream along.
func TestWatchesShareAStream(t *testing.T) {
	f := startFake(t)
	f.unary = emptyTxn(10)
	cancels, gone := make(chan int64, 1), make(chan struct{})
	f.watch = func(stream grpc.ServerStream) error {
		defer close(gone)
		var n, last int64
		for {
			var request pb.WatchRequest
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			if c := request.GetCancelRequest(); c != nil {
				cancels <- c.WatchId
				_ = stream.SendMsg(&pb.WatchResponse{Header: header(11), WatchId: c.WatchId, Canceled: true})
				_ = stream.SendMsg(&pb.WatchResponse{Header: header(11), WatchId: last, Events: []*mvccpb.Event{put("b/b", "1", 11)}})
				continue
			}
			n++
			if string(request.GetCreateRequest().GetKey()) == "b/" {
				last = n
			}
			_ = stream.SendMsg(&pb.WatchResponse{Header: header(10), WatchId: n, Created: true})
		}
	}
	d := f.driver(t)
	first, second := make(chan []driver.Entry, 10), make(chan []driver.Entry, 10)
	watch := func(dir string, states chan []driver.Entry) (stop func()) {
		sub, err := d.subscribe(driver.Dir(dir), 11)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "the watch to stand", sub.news)
		go func() {
			for {
				select {
				case <-t.Context().Done():
					return
				case <-sub.news:
				}
				replies, _, _ := sub.take()
				for _, r := range replies {
					if len(r.Events) > 0 {
						states <- nil
					}
				}
			}
		}()
		return sub.close
	}
	stopFirst := watch("a", first)
	stopSecond := watch("b", second)
	stopFirst()
	if id := within(t, "the cancel of the first watch", cancels); id != 1 {
		t.Errorf("watch %d was cancelled, want 1", id)
	}
	within(t, "an event for the second watch", second)
	if n := f.count("/etcdserverpb.Watch/Watch"); n != 1 {
		t.Errorf("%d streams, want 1", n)
	}
	stopSecond()
	within(t, "the end of the stream", gone)
}

// TestWatchStaleToken: a stream whose token has expired is refused a watch; a
// new stream is opened for it, and the watches on the old one stay.
func TestWatchStaleToken(t *testing.T) {
	f := startFake(t)
	f.unary = emptyTxn(10)
	var streams atomic.Int64
	again, opened := make(chan struct{}), make(chan struct{}, 2)
	f.watch = func(stream grpc.ServerStream) error {
		nth := streams.Add(1)
		opened <- struct{}{}
		for n := int64(1); ; n++ {
			var request pb.WatchRequest
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			if request.GetCreateRequest() == nil {
				continue
			}
			if nth == 1 && n == 2 {
				_ = stream.SendMsg(&pb.WatchResponse{
					Header: header(10), WatchId: -1, Created: true, Canceled: true, CancelReason: rpctypes.ErrGRPCInvalidAuthToken.Error(),
				})
				<-again
				_ = stream.SendMsg(&pb.WatchResponse{Header: header(12), WatchId: 1, Events: []*mvccpb.Event{put("a/1", "", 12)}})
				continue
			}
			_ = stream.SendMsg(&pb.WatchResponse{Header: header(10), WatchId: n, Created: true})
			if nth == 2 {
				_ = stream.SendMsg(&pb.WatchResponse{Header: header(11), WatchId: n, Events: []*mvccpb.Event{put("a/2", "", 11)}})
			}
		}
	}
	d := f.driver(t)
	old, _ := watching(t, d)
	within(t, "the first state", old)
	within(t, "the first stream", opened)
	fresh, _ := watching(t, d)
	within(t, "the first state of the second watch", fresh)
	if state := within(t, "an event on the new stream", fresh); len(state) != 1 || state[0].Key != "a/2" {
		t.Errorf("on the new stream: %v", state)
	}
	close(again)
	if state := within(t, "an event on the old stream", old); len(state) != 1 || state[0].Key != "a/1" {
		t.Errorf("on the old stream: %v", state)
	}
	if n := streams.Load(); n != 2 {
		t.Errorf("%d streams, want 2", n)
	}
}
