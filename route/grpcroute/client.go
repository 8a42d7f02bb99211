package grpcroute

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/route"
)

// The metadata of the protocol.
const (
	SlotKey    = "quorate-slot"    // of calls: a route.Ticket
	RefusedKey = "quorate-refused" // in trailers of refusals, with codes.Aborted
)

// Options are the options of NewClient; nil and zero fields mean the defaults.
type Options struct {
	// Wait is how long a call waits for an owner if none is known, and for another
	// owner after a refusal (default 5 s). The call's context may end it earlier.
	Wait time.Duration
}

// client is what the interceptors of a connection share.
type client struct {
	router *partition.Router
	wait   time.Duration
}

// NewClient returns a connection whose calls go to the owner of their key, see
// route.WithKey. It does not wait for the store or an owner. Close it before the
// router. Arguments that make no sense are backend.ErrInvalid; other errors are
// those of grpc.NewClient.
//
// A call without a key fails with backend.ErrInvalid and the code
// InvalidArgument. If no owner is known within Options.Wait, it fails with
// backend.ErrUnavailable and the code Unavailable.
func NewClient(router *partition.Router, options *Options, dial ...grpc.DialOption) (*grpc.ClientConn, error) {
	if router == nil {
		return nil, fmt.Errorf("grpcroute: %w: the router is nil", backend.ErrInvalid)
	}
	c := &client{router: router, wait: route.DefaultWait}
	if options != nil && options.Wait != 0 {
		c.wait = options.Wait
	}
	if c.wait < 0 {
		return nil, fmt.Errorf("grpcroute: %w: Options.Wait is negative", backend.ErrInvalid)
	}
	return grpc.NewClient(scheme+":///"+url.PathEscape(router.Name()), append([]grpc.DialOption{
		grpc.WithResolvers(builder{router}),
		grpc.WithChainUnaryInterceptor(c.unary),
		grpc.WithChainStreamInterceptor(c.stream),
	}, dial...)...)
}

type callKey struct{}

// call is a call as the picker finds it in its context.
type call struct {
	router *partition.Router
	key    string
	sentTo atomic.Pointer[partition.Owner] // the owner last picked
}

// begin returns a context for one attempt, once an owner other than refused is
// known.
func (c *client) begin(ctx context.Context, refused partition.Owner) (context.Context, *call, error) {
	key, ok := route.Key(ctx)
	if !ok {
		return nil, nil, &failure{codes.InvalidArgument, fmt.Errorf("grpcroute: %w: the call's context has no key, see route.WithKey", backend.ErrInvalid)}
	}
	wait, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	if _, err := c.router.Await(wait, key, refused); err != nil {
		return nil, nil, &failure{codes.Unavailable, fmt.Errorf("grpcroute: %w", err)}
	}
	attempt := &call{router: c.router, key: key}
	return context.WithValue(ctx, callKey{}, attempt), attempt, nil
}

func (c *client) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	first, attempt, err := c.begin(ctx, partition.Owner{})
	if err != nil {
		return err
	}
	var trailer metadata.MD
	err = invoke(first, method, req, reply, cc, append(opts[:len(opts):len(opts)], grpc.Trailer(&trailer))...)
	sentTo := attempt.sentTo.Load()
	if status.Code(err) != codes.Aborted || len(trailer.Get(RefusedKey)) == 0 || sentTo == nil {
		return err
	}
	again, _, late := c.begin(ctx, *sentTo)
	if late != nil {
		return err
	}
	return invoke(again, method, req, reply, cc, opts...)
}

func (c *client) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, _, err := c.begin(ctx, partition.Owner{})
	if err != nil {
		return nil, err
	}
	return open(ctx, desc, cc, method, opts...)
}

// failure is an error with a status code.
type failure struct {
	code codes.Code
	error
}

func (f *failure) GRPCStatus() *status.Status { return status.New(f.code, f.Error()) }
func (f *failure) Unwrap() error              { return f.error }
