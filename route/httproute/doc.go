// Package httproute sends HTTP requests to the owner of their key.
//
//	router, err := partition.NewRouter(store, "orders")
//	if err != nil {
//		return err
//	}
//	transport, err := httproute.NewTransport(router, nil)
//	if err != nil {
//		return err
//	}
//	client := &http.Client{Transport: transport}
//	req, err := http.NewRequestWithContext(route.WithKey(ctx, "order/7"), http.MethodPost, "http://orders/charge", body)
//	if err != nil {
//		return err
//	}
//	response, err := client.Do(req)
//
// The owners wrap their handler with [NewHandler]. See package route for the whole
// of an owner, and for guarantees and failures.
//
// # Protocol
//
// A request has the slot and the owner's token in the header Quorate-Slot, as
// <partition>/<slot>/<token>. An owner that may not execute it answers with the
// status 421 (Misdirected Request) and the header Quorate-Refused. A request
// without a valid Quorate-Slot is answered with 400.
//
// # Repeated requests
//
// The transport sends a request once more if it was refused with 421 and
// Quorate-Refused, or if no connection to the owner could be made. In both cases
// the request was not executed. It first waits for a plan that names another
// owner or token, for at most Options.Wait.
//
// A request with a body is repeated only if it has GetBody, as with net/http.
// http.NewRequest sets GetBody for a bytes.Buffer, bytes.Reader and
// strings.Reader. Otherwise the caller gets the refusal.
//
// net/http itself repeats idempotent requests when a connection breaks. The
// repeated request has the same ticket, so only the same owner can execute it.
package httproute
