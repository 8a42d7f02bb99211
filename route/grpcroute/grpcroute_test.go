package grpcroute_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/route"
	"github.com/quorate/quorate/route/grpcroute"
)

// patience bounds each wait.
const patience = 30 * time.Second

// world is owners and callers over one store.
type world struct {
	t      *testing.T
	server *memory.Server

	mu       sync.Mutex // guards executed
	executed []execution
}

// execution is a call as an owner executed it.
type execution struct {
	id, owner string
	slot      int
	token     uint64
}

// owner is a process that runs slots.
type owner struct {
	*world
	id     string
	addr   string
	work   func(ctx context.Context) error // nil for nothing
	reg    *membership.Registration
	rpc    *grpc.Server
	cancel context.CancelFunc
	done   chan struct{}
}

// echo answers a call with the owner's ID.
func (o *owner) echo(ctx context.Context, id string) (*wrapperspb.StringValue, error) {
	if o.work != nil {
		if err := o.work(ctx); err != nil {
			return nil, err
		}
	}
	slot := route.Slot(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.executed = append(o.executed, execution{id, o.id, slot.Number(), slot.Token()})
	return wrapperspb.String(o.id), nil
}

// service is a service with a unary call and a stream from the server.
var service = grpc.ServiceDesc{
	ServiceName: "test.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Call",
		Handler: func(srv any, ctx context.Context, decode func(any) error, through grpc.UnaryServerInterceptor) (any, error) {
			in := new(wrapperspb.StringValue)
			if err := decode(in); err != nil {
				return nil, err
			}
			return through(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/test.Echo/Call"}, func(ctx context.Context, req any) (any, error) {
				return srv.(*owner).echo(ctx, req.(*wrapperspb.StringValue).GetValue())
			})
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Follow", ServerStreams: true, ClientStreams: true,
		Handler: func(srv any, stream grpc.ServerStream) error {
			if err := stream.SendMsg(wrapperspb.String(srv.(*owner).id)); err != nil {
				return err
			}
			select {
			case <-route.Leaving(stream.Context()):
				return nil
			case <-stream.Context().Done():
				return context.Cause(stream.Context())
			}
		},
	}},
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) store(d driver.Driver) *backend.Store {
	w.t.Helper()
	store, err := backend.New(d, nil)
	must(w.t, err)
	w.t.Cleanup(func() { _ = store.Close() })
	return store
}

func (w *world) start(id string, work func(context.Context) error) *owner {
	w.t.Helper()
	o := &owner{world: w, id: id, work: work, done: make(chan struct{})}
	group, err := membership.New(w.store(memory.NewDriver(w.server)), "g", nil)
	must(w.t, err)
	parts, err := partition.New(group, "p", &partition.Options{Slots: 8, Settle: 20 * time.Millisecond})
	must(w.t, err)
	gate, err := route.NewGate("p", &route.Options{Wait: time.Second})
	must(w.t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	o.addr = listener.Addr().String()
	o.rpc = grpc.NewServer(grpc.UnaryInterceptor(grpcroute.UnaryServerInterceptor(gate)), grpc.StreamInterceptor(grpcroute.StreamServerInterceptor(gate)))
	o.rpc.RegisterService(&service, o)
	go func() { _ = o.rpc.Serve(listener) }()
	w.t.Cleanup(o.rpc.Stop)
	o.reg, err = group.Join(w.t.Context(), membership.Member{ID: id, Addr: o.addr})
	must(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	go func() {
		defer close(o.done)
		_ = parts.Run(ctx, o.reg, gate.Serve)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-o.done
	})
	return o
}

// stop ends an owner as a service does, and then its server.
func (o *owner) stop() {
	o.t.Helper()
	o.cancel()
	<-o.done
	must(o.t, o.reg.Leave(o.t.Context()))
	o.rpc.GracefulStop()
}

// lagging is a driver whose news come late, so that its plans are old.
type lagging struct{ driver.Driver }

func (l lagging) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	return l.Driver.Watch(ctx, target, func(entries []driver.Entry) {
		if backend.Sleep(ctx, 400*time.Millisecond) == nil {
			changed(entries)
		}
	})
}

func (w *world) client() (*grpc.ClientConn, *partition.Router) {
	w.t.Helper()
	router, err := partition.NewRouter(w.store(lagging{memory.NewDriver(w.server)}), "p")
	must(w.t, err)
	w.t.Cleanup(func() { _ = router.Close() })
	conn, err := grpcroute.NewClient(router, &grpcroute.Options{Wait: 2 * time.Second}, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn, router
}

// invoke calls with an ID, and returns who answered.
func invoke(ctx context.Context, conn *grpc.ClientConn, id string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, "/test.Echo/Call", wrapperspb.String(id), reply)
	return reply.GetValue(), err
}

func TestCallsWhileSlotsMove(t *testing.T) {
	// Catches: calls that two owners accept, a refusal that reaches the caller
	// though the slot moved once, a call that stays with an owner that is gone.
	w := &world{t: t, server: memory.NewServer()}
	conn, _ := w.client()
	first := w.start("a", nil)
	w.start("b", nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	sent := make([]int, 8)
	moves := make(chan struct{}, len(sent)*1000)
	for c := range sent {
		callers.Go(func() {
			for ; ctx.Err() == nil; sent[c]++ {
				id := fmt.Sprint(c, "-", sent[c])
				if _, err := invoke(route.WithKey(t.Context(), id), conn, id); err != nil {
					t.Errorf("call %s: %v", id, err)
				}
				select {
				case moves <- struct{}{}:
				case <-ctx.Done():
				}
			}
		})
	}
	some := func() {
		for range 200 {
			<-moves
		}
	}
	some()
	first.stop()
	some()
	w.start("c", nil)
	some()
	stop()
	callers.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	owners, times, all := make(map[string]string), make(map[string]int), 0
	for _, e := range w.executed {
		tenure := fmt.Sprint(e.slot, "/", e.token)
		if other := owners[tenure]; other != "" && other != e.owner {
			t.Errorf("slot/token %s: %s and %s executed calls", tenure, other, e.owner)
		}
		owners[tenure] = e.owner
		if times[e.id]++; times[e.id] > 1 {
			t.Errorf("call %s was executed %d times", e.id, times[e.id])
		}
	}
	for _, n := range sent {
		all += n
	}
	if len(w.executed) != all {
		t.Errorf("%d calls were executed of %d", len(w.executed), all)
	}
}

func TestServerRefuses(t *testing.T) {
	// Catches: a token that is not checked, a refusal that a caller cannot tell
	// from the service's own.
	w := &world{t: t, server: memory.NewServer()}
	o := w.start("a", nil)
	routed, router := w.client()
	if by, err := invoke(route.WithKey(t.Context(), "k"), routed, "first"); err != nil || by != "a" {
		t.Fatalf("the owner's answer is %q, %v", by, err)
	}
	known, _ := router.Owner("k")
	right := route.TicketFor(router, known)
	older, newer := right, right
	older.Token--
	newer.Token++
	conn, err := grpc.NewClient(o.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer conn.Close()
	for name, c := range map[string]struct {
		ticket string
		code   codes.Code
	}{
		"the right token": {right.String(), codes.OK},
		"an older token":  {older.String(), codes.Aborted},
		"a newer token":   {newer.String(), codes.Aborted},
		"no ticket":       {"", codes.InvalidArgument},
	} {
		var trailer metadata.MD
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), grpcroute.SlotKey, c.ticket), patience)
		err := conn.Invoke(ctx, "/test.Echo/Call", wrapperspb.String(name), new(wrapperspb.StringValue), grpc.Trailer(&trailer))
		if refused := len(trailer.Get(grpcroute.RefusedKey)) > 0; status.Code(err) != c.code || refused != (c.code == codes.Aborted) {
			t.Errorf("%s: %v, refused %t", name, err, refused)
		}
		stream, err := conn.NewStream(ctx, &service.Streams[0], "/test.Echo/Follow")
		must(t, err)
		if err := stream.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != c.code {
			t.Errorf("%s, as a stream: %v", name, err)
		}
		cancel()
	}
}

func TestStreamIsToldToLeave(t *testing.T) {
	// Catches: a stream that keeps its slot from moving, and cannot know.
	w := &world{t: t, server: memory.NewServer()}
	o := w.start("a", nil)
	conn, _ := w.client()
	ctx, cancel := context.WithTimeout(route.WithKey(t.Context(), "k"), patience)
	defer cancel()
	stream, err := conn.NewStream(ctx, &service.Streams[0], "/test.Echo/Follow")
	must(t, err)
	first := new(wrapperspb.StringValue)
	if err := stream.RecvMsg(first); err != nil || first.GetValue() != "a" {
		t.Fatalf("the stream begins with %v, %v", first, err)
	}
	o.cancel()
	if err := stream.RecvMsg(first); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ends with %v", err)
	}
	<-o.done
}

func TestCallsThatAreNotSent(t *testing.T) {
	w := &world{t: t, server: memory.NewServer()}
	conn, router := w.client()
	if _, err := invoke(t.Context(), conn, "x"); !errors.Is(err, backend.ErrInvalid) || status.Code(err) != codes.InvalidArgument {
		t.Errorf("without a key: %v", err)
	}
	if _, err := invoke(route.WithKey(t.Context(), "k"), conn, "x"); !errors.Is(err, backend.ErrUnavailable) || status.Code(err) != codes.Unavailable {
		t.Errorf("without an owner: %v", err)
	}
	if _, err := grpcroute.NewClient(nil, nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("without a router: %v", err)
	}
	if _, err := grpcroute.NewClient(router, &grpcroute.Options{Wait: -1}); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("with a negative Wait: %v", err)
	}
}
