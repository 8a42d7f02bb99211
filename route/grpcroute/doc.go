// Package grpcroute sends gRPC calls to the owner of their key.
//
//	router, err := partition.NewRouter(store, "orders")
//	if err != nil {
//		return err
//	}
//	conn, err := grpcroute.NewClient(router, nil, grpc.WithTransportCredentials(credentials))
//	if err != nil {
//		return err
//	}
//	defer conn.Close()
//	reply, err := pb.NewOrdersClient(conn).Charge(route.WithKey(ctx, "order/7"), request)
//
// The owners use [UnaryServerInterceptor] and [StreamServerInterceptor]. See
// package route for the whole of an owner, and for guarantees and failures.
//
// The connection has a resolver, which follows the owners' addresses, and a
// balancer, which picks the owner of a call's key when the call is sent. It keeps
// a connection to each owner.
//
// # Protocol
//
// A call has the slot and the owner's token in the metadata quorate-slot, as
// <partition>/<slot>/<token>. An owner that may not execute it answers with the
// code Aborted and the trailer quorate-refused. A call without a valid
// quorate-slot is answered with InvalidArgument.
//
// # Repeated calls
//
// A unary call that was refused is sent once more, when the plan names another
// owner or token. The client waits for that for at most Options.Wait. A stream is
// never sent again: its first receive returns the refusal.
//
// # Mistakes to avoid
//
// Set a deadline for each call. While no connection to the owner is ready, the
// call waits for it or for another owner.
//
// The interceptors refuse every call without a ticket, also those to the server's
// health service. Give that a server of its own, or select the methods.
package grpcroute
