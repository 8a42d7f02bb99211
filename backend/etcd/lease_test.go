package etcd

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/quorate/quorate/backend/driver"
)

// leaseServer answers renewals with a TTL and a term, and confirms with another
// term. A call for which silent is true is never answered. A sign of life is,
// and does not count.
type leaseServer struct {
	ttl           int64
	term, confirm uint64
	silent        func(method string, n int) bool
}

func (s leaseServer) start(t *testing.T) (*fakeServer, *lease) {
	t.Helper()
	f := startFake(t)
	f.unary = func(method string, stream grpc.ServerStream) error {
		var members pb.MemberListRequest
		if method == memberListMethod {
			if err := stream.RecvMsg(&members); err != nil {
				return err
			}
			if !members.Linearizable {
				f.discount(method)
				return stream.SendMsg(&pb.MemberListResponse{Header: &pb.ResponseHeader{RaftTerm: s.confirm}})
			}
		}
		if s.silent != nil && s.silent(method, f.count(method)) {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		switch method {
		case keepAliveMethod:
			var request pb.LeaseKeepAliveRequest
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			return stream.SendMsg(&pb.LeaseKeepAliveResponse{ID: request.ID, TTL: s.ttl, Header: &pb.ResponseHeader{RaftTerm: s.term}})
		case memberListMethod:
			return stream.SendMsg(&pb.MemberListResponse{Header: &pb.ResponseHeader{RaftTerm: s.confirm}})
		default:
			return rpctypes.ErrGRPCLeaseNotFound
		}
	}
	d := f.driver(t)
	l := &lease{driver: d, id: 0x1f, ttl: 9 * time.Second, lost: make(chan struct{})}
	d.leases[l.id] = l
	return f, l
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestRenew(t *testing.T) {
	for name, c := range map[string]struct {
		server leaseServer
		want   error
		lost   bool
	}{
		"counts":                            {leaseServer{ttl: 9, term: 5, confirm: 5}, nil, false},
		"a later term":                      {leaseServer{ttl: 9, term: 5, confirm: 6}, driver.ErrNotCounted, false},
		"an earlier term":                   {leaseServer{ttl: 9, term: 5, confirm: 4}, driver.ErrNotCounted, false},
		"no term at all":                    {leaseServer{ttl: 9}, driver.ErrNotCounted, false},
		"not found":                         {leaseServer{ttl: 0, term: 5, confirm: 5}, driver.ErrSessionLost, true},
		"not found, by who no longer leads": {leaseServer{ttl: 0, term: 5, confirm: 6}, driver.ErrNotCounted, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, l := c.server.start(t)
			validFor, err := l.Renew(t.Context())
			if !errors.Is(err, c.want) || c.want == nil && validFor != 9*time.Second || c.want != nil && validFor != 0 {
				t.Errorf("Renew = %v, %v, want %v", validFor, err, c.want)
			}
			if isClosed(l.Lost()) != c.lost {
				t.Errorf("Lost is closed: %v, want %v", !c.lost, c.lost)
			}
			if n, m := f.count(keepAliveMethod), f.count(memberListMethod); n != 1 || m != 1 {
				t.Errorf("%d keep-alives and %d linearizable reads, want one of each", n, m)
			}
			if c.lost {
				if _, err := l.Renew(t.Context()); !errors.Is(err, driver.ErrSessionLost) || f.count(keepAliveMethod) != 1 {
					t.Errorf("Renew of a lease known to be lost = %v after %d keep-alives", err, f.count(keepAliveMethod))
				}
			}
		})
	}
}

// TestHedgedCalls: neither of the two steps of a renewal waits for a silent
// server, nor does Revoke.
func TestHedgedCalls(t *testing.T) {
	for _, method := range []string{keepAliveMethod, memberListMethod} {
		_, l := leaseServer{ttl: 9, term: 5, confirm: 5, silent: func(m string, n int) bool { return m == method && n < attempts }}.start(t)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if _, err := l.Renew(ctx); err != nil {
			t.Errorf("with two silent answers to %s: %v", method, err)
		}
		cancel()
	}
	_, l := leaseServer{silent: func(_ string, n int) bool { return n < attempts }}.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := l.Revoke(ctx); err != nil {
		t.Errorf("Revoke: %v", err)
	}
}

func TestRenewSilent(t *testing.T) {
	_, l := leaseServer{silent: func(string, int) bool { return true }}.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := l.Renew(ctx); !errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Renew = %v, want ErrUnavailable", err)
	}
}

// TestLossIsLearnt: from a commit, and from a Revoke.
func TestLossIsLearnt(t *testing.T) {
	_, l := leaseServer{}.start(t)
	txn := driver.Txn{Lease: l.ID(), Ops: []driver.Op{driver.CreateEphemeral("a", nil)}}
	if _, err := l.driver.Commit(t.Context(), txn); !errors.Is(err, driver.ErrSessionLost) || !isClosed(l.Lost()) {
		t.Errorf("Commit = %v, Lost closed: %v, want ErrSessionLost and true", err, isClosed(l.Lost()))
	}
	_, l = leaseServer{}.start(t)
	if err := l.Revoke(t.Context()); err != nil || !isClosed(l.Lost()) {
		t.Errorf("Revoke = %v, Lost closed: %v, want nil and true", err, isClosed(l.Lost()))
	}
}

// TestFailedRevoke: the Store revokes a session once. The driver must not keep
// what could not be revoked.
func TestFailedRevoke(t *testing.T) {
	_, l := leaseServer{silent: func(string, int) bool { return true }}.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := l.Revoke(ctx); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Revoke = %v, want ErrUnavailable", err)
	}
	if n := len(l.driver.leases); n != 0 {
		t.Errorf("the driver keeps %d leases", n)
	}
}

func TestHedged(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var calls atomic.Int64
	for name, c := range map[string]struct {
		errs  []error
		want  error
		calls int64
	}{
		"at once":               {[]error{nil}, nil, 1},
		"after what passes":     {[]error{rpctypes.ErrGRPCNoLeader, nil}, nil, 2},
		"refused":               {[]error{rpctypes.ErrGRPCPermissionDenied, nil}, rpctypes.ErrGRPCPermissionDenied, 1},
		"nothing works in time": {[]error{rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCNoLeader}, rpctypes.ErrGRPCNoLeader, 3},
	} {
		calls.Store(0)
		_, err := hedged(ctx, func(context.Context) (int, error) {
			return 0, c.errs[calls.Add(1)-1]
		})
		if !errors.Is(err, c.want) || calls.Load() != c.calls {
			t.Errorf("%s: %v after %d calls, want %v after %d", name, err, calls.Load(), c.want, c.calls)
		}
	}
}
