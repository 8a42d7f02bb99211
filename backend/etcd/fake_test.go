package etcd

import (
	"net"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fakeServer answers on a real connection what a test tells it to.
type fakeServer struct {
	addr string

	mu    sync.Mutex
	calls map[string]int
	// unary answers a call; watch serves a watch stream.
	unary func(method string, stream grpc.ServerStream) error
	watch func(stream grpc.ServerStream) error
}

func startFake(t *testing.T) *fakeServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{addr: listener.Addr().String(), calls: make(map[string]int)}
	server := grpc.NewServer(grpc.UnknownServiceHandler(f.serve))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return f
}

func (f *fakeServer) serve(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	f.mu.Lock()
	f.calls[method]++
	unary, watch := f.unary, f.watch
	f.mu.Unlock()
	switch {
	case method == "/etcdserverpb.Watch/Watch" && watch != nil:
		return watch(stream)
	case unary != nil:
		return unary(method, stream)
	}
	return status.Error(codes.Unimplemented, method)
}

func (f *fakeServer) count(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

// discount takes back the count of one call.
func (f *fakeServer) discount(method string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[method]--
}

// driver returns a driver that talks to the fake.
func (f *fakeServer) driver(t *testing.T) *Driver {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{f.addr}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	d, err := NewDriver(client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// emptyTxn answers reads with nothing, at a revision.
func emptyTxn(revision int64) func(string, grpc.ServerStream) error {
	return func(_ string, stream grpc.ServerStream) error {
		var request pb.TxnRequest
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		reply := &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: revision, RaftTerm: 2}, Succeeded: true}
		for range request.Success {
			reply.Responses = append(reply.Responses, &pb.ResponseOp{
				Response: &pb.ResponseOp_ResponseRange{ResponseRange: &pb.RangeResponse{}},
			})
		}
		return stream.SendMsg(reply)
	}
}
