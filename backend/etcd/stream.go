package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/quorate/quorate/backend/driver"
)

// A watch stream that was silent for probeAfter is asked for a sign of life;
// one that owes an answer for answerWithin is given up.
const (
	probeAfter   = 2 * time.Second
	answerWithin = 3 * time.Second
	probeTick    = 500 * time.Millisecond
)

// errSilent is why a stream was given up.
var errSilent = errors.New("the watch stream fell silent")

// watchHub puts all watches of a driver on one stream. A stream that fails fails
// its watches.
type watchHub struct {
	driver  *Driver
	mu      sync.Mutex
	current *watchStream // where new watches go
}

func (h *watchHub) init(d *Driver) { h.driver = d }

// subscribe asks for a watch. The first reply says that it stands.
func (h *watchHub) subscribe(request *pb.WatchCreateRequest) (*subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if h.current == nil {
			stream := newStream(h)
			if !h.driver.running.Go(stream.run) {
				return nil, driver.ErrClosed
			}
			h.current = stream
		}
		if sub := h.current.add(request); sub != nil {
			return sub, nil
		}
		h.current = nil // it ended
	}
}

// retire lets no further watch go to s.
func (h *watchHub) retire(s *watchStream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == s {
		h.current = nil
	}
}

// watchStream is one gRPC stream with the watches on it.
type watchStream struct {
	hub    *watchHub
	ctx    context.Context
	cancel context.CancelCauseFunc
	wake   chan struct{} // one token: outbox is not empty

	mu      sync.Mutex
	outbox  []*pb.WatchRequest
	pending []*subscription         // in the order of their requests; nil is a probe
	live    map[int64]*subscription // by the server's id
	users   int
	asked   time.Time // when the last request that will be answered was made
	heard   time.Time // when the server was last heard
	ended   bool
}

func newStream(h *watchHub) *watchStream {
	s := &watchStream{
		hub:  h,
		wake: make(chan struct{}, 1),
		live: make(map[int64]*subscription),
	}
	s.ctx, s.cancel = context.WithCancelCause(h.driver.life)
	return s
}

// run opens the stream and hands out what comes from it until it ends.
func (s *watchStream) run() {
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer s.cancel(nil)
	helpers.Go(s.monitor)
	stream, err := s.hub.driver.servers.stream(s.ctx, watchMethod)
	if err != nil {
		s.end(err)
		return
	}
	helpers.Go(func() { s.send(stream) })
	for {
		reply := &pb.WatchResponse{}
		if err := stream.RecvMsg(reply); err != nil {
			s.end(err)
			return
		}
		s.dispatch(reply)
	}
}

// send sends what is in the outbox. It has a goroutine of its own because Send
// blocks when a server has stopped reading.
func (s *watchStream) send(stream grpc.ClientStream) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		}
		s.mu.Lock()
		requests := s.outbox
		s.outbox = nil
		s.mu.Unlock()
		for _, request := range requests {
			if stream.SendMsg(request) != nil {
				return // Recv says why
			}
		}
	}
}

// monitor probes the stream while it is silent, and ends it when it owes an
// answer for too long.
func (s *watchStream) monitor() {
	ticker := time.NewTicker(probeTick)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
			if s.check(time.Now()) {
				s.cancel(fmt.Errorf("%w for %v", errSilent, answerWithin))
				return
			}
		}
	}
}

func (s *watchStream) check(now time.Time) (dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) > 0 {
		return now.Sub(s.asked) > answerWithin && now.Sub(s.heard) > answerWithin
	}
	if now.Sub(s.heard) < probeAfter {
		return false
	}
	for _, sub := range s.live {
		// A watch for nothing on a key that may be watched; it is cancelled as
		// soon as it stands. A progress request would be simpler, but a server
		// leaves it unanswered while a watch is for a revision yet to come, as
		// ours are at rest.
		s.ask(nil, &pb.WatchCreateRequest{
			Key:     sub.request.Key,
			Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT, pb.WatchCreateRequest_NODELETE},
		}, now)
		break
	}
	return false
}

// add asks for a watch, or returns nil if the stream has ended.
func (s *watchStream) add(request *pb.WatchCreateRequest) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	sub := &subscription{stream: s, request: request, news: make(chan struct{}, 1)}
	s.users++
	s.ask(sub, request, time.Now())
	return sub
}

func (s *watchStream) ask(sub *subscription, request *pb.WatchCreateRequest, now time.Time) {
	if len(s.pending) == 0 {
		s.asked = now
	}
	s.pending = append(s.pending, sub)
	s.post(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}})
}

func (s *watchStream) post(request *pb.WatchRequest) {
	s.outbox = append(s.outbox, request)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *watchStream) forget(id int64) {
	s.post(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
		CancelRequest: &pb.WatchCancelRequest{WatchId: id},
	}})
}

// dispatch hands a reply to the watch it is for.
func (s *watchStream) dispatch(reply *pb.WatchResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = time.Now()
	id := reply.GetWatchId()
	switch {
	case reply.GetCreated():
		// Requests are answered in their order.
		if len(s.pending) == 0 {
			s.cancel(errors.New("a watch was created that nobody asked for"))
			return
		}
		sub := s.pending[0]
		s.pending = s.pending[1:]
		s.asked = s.heard
		if reply.GetCanceled() {
			if err := canceled(reply); sub != nil {
				sub.fail(err)
			}
			return
		}
		if sub == nil || sub.closed {
			s.forget(id)
			return
		}
		sub.id = id
		s.live[id] = sub
		sub.push(reply)
	case reply.GetCanceled():
		if sub := s.live[id]; sub != nil {
			delete(s.live, id)
			sub.fail(canceled(reply))
		}
	default:
		if sub := s.live[id]; sub != nil {
			sub.push(reply)
		}
	}
}

// end fails every watch of the stream.
func (s *watchStream) end(err error) {
	if cause := context.Cause(s.ctx); cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	s.hub.retire(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, sub := range s.live {
		sub.cut = true
		sub.fail(err)
	}
	for _, sub := range s.pending {
		if sub != nil {
			sub.fail(err)
		}
	}
	s.live, s.pending = nil, nil
}
