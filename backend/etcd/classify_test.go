package etcd

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/backend/driver"
)

// testDriver returns a driver whose client has nobody to talk to.
func testDriver(t *testing.T) (*Driver, *clientv3.Client) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	d, err := NewDriver(client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Close: %v", err)
		}
	})
	return d, client
}

func TestClassify(t *testing.T) {
	d, _ := testDriver(t)
	unavailable := func(text string) error { return status.Error(codes.Unavailable, text) }
	for _, c := range []struct {
		err                                error
		whenAsked, whenUnsent, maybeAppled error
	}{
		// Refused: the same for every call.
		{rpctypes.ErrGRPCPermissionDenied, driver.ErrDenied, driver.ErrDenied, driver.ErrDenied},
		{status.Error(codes.PermissionDenied, "says a proxy"), driver.ErrDenied, driver.ErrDenied, driver.ErrDenied},
		{rpctypes.ErrGRPCUserEmpty, driver.ErrDenied, driver.ErrDenied, driver.ErrDenied},
		{rpctypes.ErrGRPCAuthFailed, driver.ErrDenied, driver.ErrDenied, driver.ErrDenied},
		{rpctypes.ErrGRPCInvalidAuthToken, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrUnavailable},
		{rpctypes.ErrGRPCAuthOldRevision, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrUnavailable},
		{rpctypes.ErrGRPCLeaseNotFound, driver.ErrSessionLost, driver.ErrSessionLost, driver.ErrSessionLost},
		{rpctypes.ErrGRPCLeaseTTLTooLarge, driver.ErrInvalid, driver.ErrInvalid, driver.ErrInvalid},
		{rpctypes.ErrGRPCRequestTooLarge, driver.ErrTooLarge, driver.ErrTooLarge, driver.ErrTooLarge},
		{rpctypes.ErrGRPCTooManyOps, driver.ErrTooLarge, driver.ErrTooLarge, driver.ErrTooLarge},
		{status.Error(codes.ResourceExhausted, "grpc: received message larger than max (2 vs. 1)"), driver.ErrTooLarge, driver.ErrTooLarge, driver.ErrTooLarge},
		{rpctypes.ErrGRPCRequestTooManyRequests, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrUnavailable},
		{rpctypes.ErrGRPCNoLeader, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrUnavailable},
		{status.Error(codes.FailedPrecondition, "etcdserver: rpc not supported for learner"), driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrUnavailable},
		// May have been proposed.
		{rpctypes.ErrGRPCTimeout, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{rpctypes.ErrGRPCTimeoutDueToLeaderFail, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{rpctypes.ErrGRPCTimeoutDueToConnectionLost, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{rpctypes.ErrGRPCLeaderChanged, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{rpctypes.ErrGRPCNoSpace, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{rpctypes.ErrGRPCStopped, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{rpctypes.ErrGRPCCanceled, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{rpctypes.ErrGRPCCorrupt, driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		// Never reached a server, or may have, whatever the words.
		{unavailable("connection error: desc = \"transport: Error while dialing\""), driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{unavailable("error reading from server: EOF"), driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{status.Error(codes.Unknown, "raft proposal dropped"), driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{status.Error(codes.Internal, "stream terminated"), driver.ErrUnavailable, driver.ErrUnavailable, driver.ErrIndeterminate},
		{status.Error(codes.ResourceExhausted, "of another kind"), driver.ErrOverloaded, driver.ErrOverloaded, driver.ErrIndeterminate},
	} {
		for f, want := range map[fate]error{asked: c.whenAsked, unsent: c.whenUnsent, maybeApplied: c.maybeAppled} {
			got := d.classify(t.Context(), c.err, f)
			for _, sentinel := range []error{
				driver.ErrUnavailable, driver.ErrIndeterminate, driver.ErrSessionLost,
				driver.ErrDenied, driver.ErrTooLarge, driver.ErrInvalid, driver.ErrClosed,
			} {
				if errors.Is(got, sentinel) != errors.Is(want, sentinel) {
					t.Errorf("%v with fate %d is %v, want %v and no other", c.err, f, got, want)
				}
			}
			var known rpctypes.EtcdError
			if !errors.As(got, &known) && status.Code(got) != status.Code(c.err) {
				t.Errorf("%v: the native error cannot be reached in %v", c.err, got)
			}
		}
	}
}

func TestClassifyEndedContext(t *testing.T) {
	d, client := testDriver(t)
	native := status.FromContextError(context.Canceled).Err()
	cause := errors.New("the caller's own reason")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	for f, want := range map[fate]error{asked: driver.ErrUnavailable, unsent: driver.ErrUnavailable, maybeApplied: driver.ErrIndeterminate} {
		for _, target := range []error{want, context.Canceled, cause} {
			if got := d.classify(ctx, native, f); !errors.Is(got, target) {
				t.Errorf("fate %d: %v does not wrap %v", f, got, target)
			}
		}
	}
	closed, cancelClosed := context.WithCancelCause(t.Context())
	cancelClosed(driver.ErrClosed)
	for f, want := range map[fate]error{asked: nil, unsent: nil, maybeApplied: driver.ErrIndeterminate} {
		got := d.classify(closed, native, f)
		if !errors.Is(got, driver.ErrClosed) || want != nil && !errors.Is(got, want) || errors.Is(got, driver.ErrUnavailable) {
			t.Errorf("fate %d, driver closed: %v", f, got)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if got := d.classify(t.Context(), native, unsent); !errors.Is(got, driver.ErrClosed) {
		t.Errorf("client closed: %v, want ErrClosed", got)
	}
	if got := d.classify(t.Context(), native, maybeApplied); !errors.Is(got, driver.ErrIndeterminate) {
		t.Errorf("client closed while a commit was under way: %v, want ErrIndeterminate", got)
	}
}
