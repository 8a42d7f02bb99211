package etcd

import (
	"context"
	"errors"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/backend/driver"
)

// TestCommitSentOnce answers commits with every status there is. The client's
// own retries must not send one again that may have been applied.
func TestCommitSentOnce(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		t.Run(code.String(), func(t *testing.T) {
			f := startFake(t)
			f.unary = func(_ string, stream grpc.ServerStream) error {
				if err := stream.RecvMsg(&pb.TxnRequest{}); err != nil {
					return err
				}
				return status.Error(code, "says the server")
			}
			d := f.driver(t)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}})
			want := driver.ErrIndeterminate
			if code == codes.PermissionDenied {
				want = driver.ErrDenied
			}
			if !errors.Is(err, want) || errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("Commit = %v, want %v", err, want)
			}
			if n := f.count("/etcdserverpb.KV/Txn"); n != 1 {
				t.Errorf("the commit was sent %d times", n)
			}
			if ctx.Err() != nil {
				t.Error("the commit waited for its context to end")
			}
		})
	}
}

// TestCommitConditionsOnly: a commit that writes nothing is not in doubt.
func TestCommitConditionsOnly(t *testing.T) {
	f := startFake(t)
	f.unary = func(string, grpc.ServerStream) error { return status.Error(codes.Unavailable, "says the server") }
	d := f.driver(t)
	v := driver.Version{Generation: 1, Number: 1}
	_, err := d.Commit(t.Context(), driver.Txn{Unchanged: []driver.Condition{{Key: "a", Version: v}}})
	if !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Commit = %v, want ErrUnavailable", err)
	}
}

// TestCommitWhenClosed: a commit whose context the Store ends when it closes is
// in doubt.
func TestCommitWhenClosed(t *testing.T) {
	f := startFake(t)
	arrived := make(chan struct{})
	f.unary = func(_ string, stream grpc.ServerStream) error {
		close(arrived)
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	d := f.driver(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}})
		done <- err
	}()
	<-arrived
	cancel(driver.ErrClosed)
	if err := <-done; !errors.Is(err, driver.ErrClosed) || !errors.Is(err, driver.ErrIndeterminate) {
		t.Errorf("Commit = %v, want ErrClosed and ErrIndeterminate", err)
	}
}
