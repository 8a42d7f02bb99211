package etcd

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/quorate/quorate/backend/driver"
)

const authenticateMethod = "/etcdserverpb.Auth/Authenticate"

// tokenServer refuses calls without the present token. It gives that to who
// authenticates, after a while.
type tokenServer struct {
	*fakeServer
	token  atomic.Pointer[string]
	denied atomic.Bool // nobody gets one
}

func startTokens(t *testing.T, while time.Duration) (*tokenServer, *Driver) {
	t.Helper()
	s := &tokenServer{fakeServer: startFake(t)}
	s.expire("first")
	read := emptyTxn(10)
	s.unary = func(method string, stream grpc.ServerStream) error {
		if method == authenticateMethod {
			if err := stream.RecvMsg(&pb.AuthenticateRequest{}); err != nil {
				return err
			}
			if s.denied.Load() {
				return rpctypes.ErrGRPCAuthFailed
			}
			pause(stream.Context(), while)
			return stream.SendMsg(&pb.AuthenticateResponse{Token: *s.token.Load()})
		}
		md, _ := metadata.FromIncomingContext(stream.Context())
		if tokens := md.Get(rpctypes.TokenFieldNameGRPC); len(tokens) == 0 || tokens[0] != *s.token.Load() {
			return rpctypes.ErrGRPCInvalidAuthToken
		}
		switch method {
		case keepAliveMethod:
			var request pb.LeaseKeepAliveRequest
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			return stream.SendMsg(&pb.LeaseKeepAliveResponse{ID: request.ID, TTL: 9, Header: &pb.ResponseHeader{RaftTerm: 5}})
		case memberListMethod:
			return stream.SendMsg(&pb.MemberListResponse{Header: &pb.ResponseHeader{RaftTerm: 5}})
		}
		return read(method, stream)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{s.addr}, Username: "user", Password: "password", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	d, err := NewDriver(client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s, d
}

// expire lets a token be valid that nobody has.
func (s *tokenServer) expire(next string) { s.token.Store(&next) }

// TestRenewalsDoNotAuthenticate, while the token is valid.
func TestRenewalsDoNotAuthenticate(t *testing.T) {
	s, d := startTokens(t, 0)
	l := &lease{driver: d, id: 0x1f, ttl: 9 * time.Second, lost: make(chan struct{})}
	before := s.count(authenticateMethod)
	for range 5 {
		if _, err := l.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.count(authenticateMethod) - before; n != 0 {
		t.Errorf("5 renewals authenticated %d times", n)
	}
	s.expire("second")
	if _, err := l.Renew(t.Context()); err != nil {
		t.Errorf("Renew with a token that has expired: %v", err)
	}
	if n := s.count(authenticateMethod) - before; n != 1 {
		t.Errorf("a token that expired was renewed %d times", n)
	}
}

// TestOneAuthenticates: the token of many calls expires, and to authenticate
// takes longer than the pause before a read is made again.
func TestOneAuthenticates(t *testing.T) {
	const while = 300 * time.Millisecond
	s, d := startTokens(t, while)
	before := s.count(authenticateMethod)
	s.expire("second")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*while) // so the pause is as long as while
			defer cancel()
			var err error
			if i%2 == 0 {
				_, err = d.Read(ctx, driver.Key("a"))
			} else {
				_, err = d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Delete("a", driver.Version{})}})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.count(authenticateMethod) - before; n != 1 {
		t.Errorf("20 calls authenticated %d times", n)
	}
}

// TestNoToken: the password is not valid any more. That is told, and nobody
// tries for ever.
func TestNoToken(t *testing.T) {
	s, d := startTokens(t, 0)
	before := s.count(authenticateMethod)
	s.expire("second")
	s.denied.Store(true)
	_, err := d.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}})
	if !errors.Is(err, driver.ErrDenied) || errors.Is(err, driver.ErrIndeterminate) {
		t.Errorf("Commit = %v, want ErrDenied", err)
	}
	if n := s.count(authenticateMethod) - before; n != 1 {
		t.Errorf("it authenticated %d times", n)
	}
}
