package etcd

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/backend/driver"
)

// The methods that are called. The clients that come with the messages take a
// *grpc.ClientConn up to etcd 3.6, so they are not used.
const (
	txnMethod         = "/etcdserverpb.KV/Txn"
	watchMethod       = "/etcdserverpb.Watch/Watch"
	leaseGrantMethod  = "/etcdserverpb.Lease/LeaseGrant"
	leaseRevokeMethod = "/etcdserverpb.Lease/LeaseRevoke"
	keepAliveMethod   = "/etcdserverpb.Lease/LeaseKeepAlive"
	memberListMethod  = "/etcdserverpb.Cluster/MemberList"
)

// bidirectional describes the streams of etcd.
var bidirectional = grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

// callOptions are those of every call. A reply may be of any size, since the
// number of keys that a call asks for is bounded.
var callOptions = []grpc.CallOption{
	grpc.MaxCallRecvMsgSize(math.MaxInt32),
	grpc.MaxCallSendMsgSize(math.MaxInt32),
}

const (
	// lately: what goes with care goes to a server that answered within this
	// time, if there is one.
	lately = 5 * time.Second
	// nudgeEvery is how often connections are told to connect again, where none
	// is ready. gRPC alone would pause for up to two minutes between attempts.
	nudgeEvery = time.Second
)

// servers chooses a server for each call. It keeps one link for each endpoint
// of the client, and follows the endpoints when the client's change.
//
// A call goes to the ready links in turn. One on which a call waits too long, or
// whose server is a learner, is avoided. What must not be made twice, or stays, goes with care: it also avoids
// the links that have not answered lately.
type servers struct {
	client  *clientv3.Client
	life    context.Context // of the driver
	tokens  tokens
	turn    atomic.Uint32
	running *driver.Running // counts helpers, which end with life

	mu        sync.Mutex // guards all below, and is taken before a link's
	endpoints []string   // as the client named them last
	links     []*link
	changed   chan struct{} // closed when a link may have become ready; nil while nobody waits
	nudged    time.Time
	closed    bool
}

// propose makes a call that changes the store. It is given up, its outcome
// unknown, when another raft leader than that of term was elected meanwhile:
// the earlier one may have lost it, and the server waits seven seconds more.
// The term is the latest that is known, or 0.
func (s *servers) propose(ctx context.Context, term uint64, method string, args, reply any) error {
	return s.call(ctx, method, args, reply, &waiting{proposal: true, term: term})
}

// ask makes a call that changes nothing, or nothing that matters if it is made
// twice.
func (s *servers) ask(ctx context.Context, method string, args, reply any) error {
	return s.call(ctx, method, args, reply, &waiting{})
}

// notSent is the error of a call that was sent to no server, or only to one that
// refused it for its token.
type notSent struct{ error }

func (n notSent) Unwrap() error { return n.error }

// call sends a call to one server. It sends it again only where the first was
// surely not sent, or refused because its token had expired or the server is a
// learner.
func (s *servers) call(ctx context.Context, method string, args, reply any, w *waiting) error {
	for refused, learners := 0, 0; ; {
		round := s.tokens.round()
		l, err := s.pick(ctx, w.proposal)
		if err != nil {
			return notSent{err}
		}
		sent, err := l.invoke(ctx, method, args, reply, w)
		switch {
		case err == nil:
			return nil
		case s.stale(err) && refused < 2:
			refused++
			if err := s.renewToken(ctx, round); err != nil {
				return notSent{err}
			}
		case l.refused(err) && learners < attempts:
			learners++
		case sent:
			return err
		case status.Code(err) != codes.Unavailable || !pause(ctx, minPause):
			return notSent{err}
		}
	}
}

// stream opens a stream to one server. With user and password the client asks
// for a token first.
func (s *servers) stream(ctx context.Context, method string) (grpc.ClientStream, error) {
	l, err := s.pick(ctx, true)
	if err != nil {
		return nil, err
	}
	stream, err := l.conn.NewStream(ctx, &bidirectional, method, callOptions...)
	if err != nil {
		return nil, err
	}
	return heeded{stream, l}, nil
}

// heeded is a stream whose messages are signs of life.
type heeded struct {
	grpc.ClientStream
	link *link
}

func (h heeded) RecvMsg(m any) error {
	err := h.ClientStream.RecvMsg(m)
	if err == nil {
		h.link.hear()
	}
	h.link.refused(err)
	return err
}

// pick returns a link that is ready, and waits until there is one.
func (s *servers) pick(ctx context.Context, care bool) (*link, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, status.FromContextError(err).Err()
		}
		links, err := s.current()
		if err != nil {
			return nil, err
		}
		if l := s.best(links, care); l != nil {
			return l, nil
		}
		select {
		case <-ctx.Done():
		case <-s.change():
		}
	}
}

// best returns the link whose turn it is among the best, nil if none is ready.
// With care, one that was not heard lately is asked for a sign of life, so that
// the next call may use it.
func (s *servers) best(links []*link, care bool) *link {
	now, first := time.Now(), int(s.turn.Add(1))
	var chosen *link
	least := unready
	for i := range links {
		l := links[(first+i)%len(links)]
		state := l.state(now)
		if state == unheard && care {
			s.running.Go(l.check)
		} else if state == unheard {
			state = good
		}
		if state < least {
			chosen, least = l, state
		}
	}
	return chosen
}

// current returns the links to the endpoints that the client has now.
func (s *servers) current() ([]*link, error) {
	endpoints := s.client.Endpoints()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.life.Err() != nil {
		return nil, status.Error(codes.Canceled, "the driver was closed")
	}
	for i, l := range s.links {
		if l.failed() {
			s.links = slices.Clone(s.links)
			s.links[i] = s.dial(l.endpoint, time.Time{})
		}
	}
	if slices.Equal(endpoints, s.endpoints) {
		return s.links, nil
	}
	s.endpoints = endpoints
	old := s.links
	s.links = nil
	for _, endpoint := range endpoints {
		same := func(l *link) bool { return l.endpoint == endpoint }
		if slices.ContainsFunc(s.links, same) {
			continue
		}
		if i := slices.IndexFunc(old, same); i >= 0 {
			s.links = append(s.links, old[i])
		} else {
			s.links = append(s.links, s.dial(endpoint, time.Now()))
		}
	}
	for _, l := range old {
		if !slices.Contains(s.links, l) {
			l.retire()
		}
	}
	return s.links, nil
}

// replace lets a fresh link take the place of one that is of no more use, and
// ends the calls on that. The fresh one counts as not heard lately.
func (s *servers) replace(l *link, cause error) {
	s.mu.Lock()
	if i := slices.Index(s.links, l); i >= 0 && !s.closed {
		s.links = slices.Clone(s.links)
		s.links[i] = s.dial(l.endpoint, time.Time{})
	}
	s.mu.Unlock()
	l.close(cause)
}

// change returns a channel that is closed once a link may have become ready.
func (s *servers) change() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		return s.changed
	}
	changed := make(chan struct{})
	nudge := time.Since(s.nudged) >= nudgeEvery
	if nudge {
		s.nudged = time.Now()
	}
	links := s.links
	await := func() {
		ctx, cancel := context.WithTimeout(s.life, nudgeEvery)
		defer cancel()
		if len(links) == 0 {
			<-ctx.Done()
		}
		var all sync.WaitGroup
		for _, l := range links {
			all.Go(func() {
				l.await(ctx, nudge)
				cancel()
			})
		}
		all.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed = nil
		close(changed)
	}
	if s.closed || !s.running.Go(await) {
		close(changed)
		return changed
	}
	s.changed = changed
	return changed
}

// close ends all links. It is called after life has ended.
func (s *servers) close() {
	s.mu.Lock()
	s.closed = true
	links := s.links
	s.links = nil
	s.mu.Unlock()
	for _, l := range links {
		l.close(errors.New("the driver was closed"))
	}
}

// pause waits, and reports false if ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
