package grpcroute

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/route"
)

// UnaryServerInterceptor returns an interceptor that gives handlers only the calls
// for slots that this process runs, with the token that the call names. The
// handler's context ends when the slot is no longer this process's; route.Slot
// returns the slot, with its fencing token. The slot cannot move before the
// handler has returned.
//
// Other calls are answered as the package's documentation says. A call whose
// ticket is newer waits, see route.Gate.Enter.
func UnaryServerInterceptor(gate *route.Gate) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		admitted, leave, err := enter(ctx, gate, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
		if err != nil {
			return nil, err
		}
		defer leave()
		return handle(admitted, req)
	}
}

// StreamServerInterceptor does the same for streams. A stream holds the slot: end
// it when route.Leaving of its context is closed.
func StreamServerInterceptor(gate *route.Gate) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		admitted, leave, err := enter(stream.Context(), gate, stream.SetTrailer)
		if err != nil {
			return err
		}
		defer leave()
		return handle(srv, &admittedStream{stream, admitted})
	}
}

// admittedStream is a stream with the context of an admitted call.
type admittedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *admittedStream) Context() context.Context { return s.ctx }

// enter admits a call, or returns the status that refuses it.
func enter(ctx context.Context, gate *route.Gate, trailer func(metadata.MD)) (admitted context.Context, leave func(), err error) {
	var text string
	if values := metadata.ValueFromIncomingContext(ctx, SlotKey); len(values) == 1 {
		text = values[0]
	}
	ticket, err := route.ParseTicket(text)
	if err != nil {
		return nil, nil, status.Error(codes.InvalidArgument, err.Error())
	}
	admitted, leave, err = gate.Enter(ctx, ticket)
	switch {
	case errors.Is(err, route.ErrMisdirected):
		trailer(metadata.Pairs(RefusedKey, "1"))
		return nil, nil, status.Error(codes.Aborted, err.Error())
	case err != nil:
		return nil, nil, status.FromContextError(ctx.Err()).Err()
	}
	return admitted, leave, nil
}
