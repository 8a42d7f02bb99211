package etcd

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	// lateAfter: other calls avoid a link on which one has waited this long.
	lateAfter = 250 * time.Millisecond
	// askEvery: a server is asked for a sign of life when a call has waited this
	// long, and as often as long as it waits.
	askEvery = 500 * time.Millisecond
	// silentAfter: a link on which nothing was heard so long after the question
	// is given up.
	silentAfter = 1500 * time.Millisecond
)

var (
	errSilentServer = errors.New("the server fell silent")
	errOtherLeader  = errors.New("another raft leader was elected while the answer was awaited")
	errWithoutOne   = errors.New("the server knows of no raft leader any more")
)

// link is a connection to one endpoint. When it is given up another takes its
// place.
type link struct {
	servers  *servers
	endpoint string
	born     time.Time
	dialled  chan struct{}    // closed when conn is set
	conn     *grpc.ClientConn // nil if the client could not be made to connect

	mu       sync.Mutex // guards all below
	waiting  list.List  // of *waiting, the oldest first
	heard    time.Time  // when the server last answered
	timer    *time.Timer
	checking bool
	retired  bool      // close it when nothing waits any more
	learner  time.Time // when the server last refused a call as a learner
	cause    error     // why it was closed
}

// waiting is a call whose answer has not come.
type waiting struct {
	proposal bool
	term     uint64 // of the raft leader that a proposal is given to; 0 if unknown
	began    time.Time
	cancel   context.CancelCauseFunc
	place    *list.Element
}

// dial begins to connect to an endpoint, in the way that the client does. With
// grpc.WithBlock a client of etcd 3.5 waits there, so nobody waits for it.
func (s *servers) dial(endpoint string, heard time.Time) *link {
	l := &link{servers: s, endpoint: endpoint, born: time.Now(), dialled: make(chan struct{}), heard: heard}
	go func() {
		conn, err := s.client.Dial(endpoint)
		l.mu.Lock()
		defer l.mu.Unlock()
		defer close(l.dialled)
		if err != nil {
			return
		}
		l.conn = conn
		if l.cause != nil {
			_ = conn.Close()
		}
	}()
	return l
}

// failed reports whether there is no connection, and another may be tried.
func (l *link) failed() bool {
	select {
	case <-l.dialled:
		return l.conn == nil && time.Since(l.born) >= nudgeEvery
	default:
		return false
	}
}

// standing of a link, the best first.
type standing int

const (
	good    standing = iota
	unheard          // not lately
	late
	learning // a learner serves nobody
	unready
)

func (l *link) state(now time.Time) standing {
	select {
	case <-l.dialled:
	default:
		return unready
	}
	if l.conn == nil {
		return unready
	}
	switch l.conn.GetState() {
	case connectivity.Ready:
	case connectivity.Idle:
		l.conn.Connect()
		return unready
	default:
		return unready
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.oldest()
	switch {
	case l.cause != nil:
		return unready
	case now.Sub(l.learner) <= lately:
		return learning
	case oldest != nil && now.Sub(oldest.began) > lateAfter:
		return late
	case now.Sub(l.heard) > lately:
		return unheard
	}
	return good
}

// await returns when the state of the connection has changed, or when ctx ends.
func (l *link) await(ctx context.Context, nudge bool) {
	select {
	case <-ctx.Done():
		return
	case <-l.dialled:
	}
	if l.conn == nil {
		<-ctx.Done()
		return
	}
	state := l.conn.GetState()
	switch state {
	case connectivity.Ready:
		return
	case connectivity.Idle:
		l.conn.Connect()
	case connectivity.TransientFailure:
		if nudge {
			l.conn.ResetConnectBackoff()
		}
	default: // it connects, or is closed
	}
	l.conn.WaitForStateChange(ctx, state)
}

// invoke makes a call and watches over it while it waits. It reports whether
// the call may have been sent.
func (l *link) invoke(ctx context.Context, method string, args, reply any, w *waiting) (sent bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.cancel = cancel
	l.begin(w)
	sent, err = l.send(ctx, method, args, reply)
	cause := l.end(w)
	if given := context.Cause(ctx); err != nil && (errors.Is(given, errOtherLeader) || errors.Is(given, errWithoutOne)) {
		cause = given
	}
	if err != nil && cause != nil {
		err = status.Error(codes.Unavailable, cause.Error())
	}
	return sent, err
}

// send makes a call once. The client's retry interceptor would make it again
// after some errors, a transaction too that was answered with Canceled or
// DeadlineExceeded: an answer that a server gives to what it may have proposed.
// For an expired token it would authenticate, in each call of many anew. So the
// context of the interceptor ends with the first answer.
func (l *link) send(ctx context.Context, method string, args, reply any) (sent bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var to peer.Peer
	var first error
	err = l.conn.Invoke(ctx, method, args, reply, append(slices.Clone(callOptions),
		grpc.Peer(&to),
		grpc.OnFinish(func(err error) {
			if first == nil && err != nil {
				first = err
				cancel()
			}
		}))...)
	if err != nil && first != nil {
		err = first
	}
	if answered(err) {
		l.hear()
	}
	return to.Addr != nil, err
}

// answered reports whether err is an answer of a server's, not of gRPC's own.
func answered(err error) bool {
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.Unknown:
		var known rpctypes.EtcdError
		return errors.As(rpctypes.Error(err), &known)
	default:
		return true
	}
}

// refused notes what a refusal says about the server, and reports whether another
// server may serve the call.
func (l *link) refused(err error) bool {
	if err == nil || rpctypes.ErrorDesc(rpctypes.Error(err)) != notForLearner {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.learner = time.Now()
	return true
}

func (l *link) hear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = time.Now()
}

// oldest returns the call that has waited longest, nil if none waits.
func (l *link) oldest() *waiting {
	if front := l.waiting.Front(); front != nil {
		return front.Value.(*waiting)
	}
	return nil
}

func (l *link) begin(w *waiting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.began = time.Now()
	w.place = l.waiting.PushBack(w)
	if l.timer == nil {
		l.timer = time.AfterFunc(askEvery, l.oversee)
	}
}

// end returns why the link was closed meanwhile, if it was.
func (l *link) end(w *waiting) error {
	l.mu.Lock()
	cause := l.cause
	l.waiting.Remove(w.place)
	last := l.retired && l.waiting.Len() == 0
	l.mu.Unlock()
	if last {
		l.close(nil)
	}
	return cause
}

// oversee is called by the timer, while calls wait. It asks the server for a sign
// of life when the oldest has waited long enough.
func (l *link) oversee() {
	l.servers.running.Go(func() {
		next := l.due()
		if next == 0 {
			l.check()
			next = askEvery
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.cause != nil || l.waiting.Len() == 0 {
			l.timer = nil
			return
		}
		l.timer.Reset(next)
	})
}

// due returns how long it is until a call will have waited long enough, 0 if
// one has.
func (l *link) due() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.oldest()
	if oldest == nil {
		return askEvery
	}
	return max(askEvery-time.Since(oldest.began), 0)
}

// check asks the server for a sign of life: what it knows of the cluster by
// itself. If none comes the link is given up, and the calls on it with it.
// The answer ends proposals that were made under an earlier raft leader.
func (l *link) check() {
	l.mu.Lock()
	if l.checking || l.cause != nil {
		l.mu.Unlock()
		return
	}
	l.checking = true
	began := time.Now()
	l.mu.Unlock()

	ctx, cancel := context.WithTimeout(l.servers.life, silentAfter)
	defer cancel()
	var reply pb.MemberListResponse
	_, err := l.send(ctx, memberListMethod, &pb.MemberListRequest{}, &reply)

	l.mu.Lock()
	l.checking = false
	silent := status.Code(err) == codes.DeadlineExceeded && l.heard.Before(began) // the server may say so first
	l.mu.Unlock()
	switch {
	case silent:
		l.servers.replace(l, errSilentServer)
	case err == nil:
		l.judge(began, reply.GetHeader().GetRaftTerm(), nil)
	case errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader):
		l.judge(began, 0, errWithoutOne)
	}
}

// judge gives up the proposals that had waited for a while when the server was
// asked, and then had no leader, or that of a later term.
func (l *link) judge(asked time.Time, term uint64, leaderless error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.waiting.Front(); e != nil; e = e.Next() {
		w := e.Value.(*waiting)
		switch {
		case !w.proposal || asked.Sub(w.began) < askEvery:
		case leaderless != nil:
			w.cancel(leaderless)
		case w.term == 0:
			w.term = term
		case term > w.term:
			w.cancel(errOtherLeader)
		}
	}
}

// retire closes the link when no call waits on it any more.
func (l *link) retire() {
	l.mu.Lock()
	l.retired = true
	idle := l.waiting.Len() == 0
	l.mu.Unlock()
	if idle {
		l.close(nil)
	}
}

// close closes the connection, and with it ends what is under way.
func (l *link) close(cause error) {
	if cause == nil {
		cause = errors.New("the endpoint is none of the client's any more")
	}
	l.mu.Lock()
	if l.cause == nil {
		l.cause = cause
	}
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // again, it does nothing
	}
}
