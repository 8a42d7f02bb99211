// Package route lets the owner of a slot accept requests for it, and refuse
// requests that belong to another owner.
//
//	gate, err := route.NewGate("orders", nil)
//	if err != nil {
//		return err
//	}
//	server := &http.Server{Addr: addr, Handler: httproute.NewHandler(gate, orders)}
//	go server.ListenAndServe()
//	defer server.Close()
//	self, err := group.Join(ctx, membership.Member{ID: podName, Addr: addr})
//	if err != nil {
//		return err
//	}
//	return parts.Run(ctx, self, gate.Serve) // admits a slot's requests while it is this process's
//
// The caller needs a [partition.Router] and a transport: route/httproute for
// HTTP, route/grpcroute for gRPC. Both send a request to the owner of its key,
// with a [Ticket] that names the slot and the owner's token.
//
// # Guarantees
//
// A Gate admits a request only while this process runs the slot with exactly the
// ticket's token. A token has one owner, so no two processes admit requests with
// the same ticket.
//
// The next owner's body begins only when the admitted requests have returned, or
// the session is over. A request's context ends when the slot is no longer this
// process's; see partition.Slot.Drain.
//
// A refused request was not executed. The transports send it once more, to the
// owner that a later plan names. If a slot moves once while a request is under way,
// the request needs at most one extra hop.
//
// A request with a newer ticket than the process has seen waits in the Gate
// for at most Options.Wait, because the previous owner may still be finishing.
//
// # Mistakes to avoid
//
// Do not stop the server before Run has returned. Until then it must refuse
// requests, so that the callers ask the next owner.
//
// A handler that ignores the end of its context keeps the slot from every other
// member. A stream must also end when [Leaving] is closed, or it holds the slot
// for as long as it lasts.
//
// A handler can still be paused after it was admitted. Fence its writes, with
// [Slot] and partition.Slot.Guard or Token.
//
// A ticket is no credential. Authenticate callers as before.
//
// # Failures
//
//	store unavailable          callers use the last plan; owners admit requests
//	                           until their trust ends
//	slot moves                 requests for the old owner are refused, and those for
//	                           the next wait until it has the slot
//	owner crashed              its callers get an error; after the TTL the slot has
//	                           a new owner
//	caller has an old plan     one refusal, then it waits for the next plan
//	slot moves twice meanwhile the second refusal is the caller's answer
//
// # Costs
//
// [Gate.Enter] takes one lock. partition.Router.Owner takes none.
package route
