package httproute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/route"
)

// The headers of the protocol.
const (
	SlotHeader    = "Quorate-Slot"    // of requests: a route.Ticket
	RefusedHeader = "Quorate-Refused" // of responses with status 421
)

// maxRefusal is how much of a refusal's body is read to keep the connection.
const maxRefusal = 4 << 10

// Options are the options of a Transport; nil and zero fields mean the defaults.
type Options struct {
	// Base sends the requests to the owners (default http.DefaultTransport).
	Base http.RoundTripper
	// Wait is how long a request waits for an owner if none is known, and for
	// another owner after a refusal (default 5 s). The request's context may end
	// it earlier.
	Wait time.Duration
}

// Transport is a http.RoundTripper that sends each request to the owner of its
// key, see route.WithKey. It may be used concurrently.
type Transport struct {
	router *partition.Router
	opts   Options
}

// NewTransport returns a Transport that asks router for owners. Arguments that
// make no sense are backend.ErrInvalid.
func NewTransport(router *partition.Router, options *Options) (*Transport, error) {
	if router == nil {
		return nil, fmt.Errorf("httproute: %w: the router is nil", backend.ErrInvalid)
	}
	t := &Transport{router: router}
	if options != nil {
		t.opts = *options
	}
	if t.opts.Wait < 0 {
		return nil, fmt.Errorf("httproute: %w: Options.Wait is negative", backend.ErrInvalid)
	}
	if t.opts.Base == nil {
		t.opts.Base = http.DefaultTransport
	}
	if t.opts.Wait == 0 {
		t.opts.Wait = route.DefaultWait
	}
	return t, nil
}

// RoundTrip sends a request to the owner of its key. The owner's address replaces
// the host of the URL; the Host header stays. It blocks as Options.Base does, plus
// Options.Wait at most once before each of two attempts. If the second attempt is
// refused too, or no other owner is known in time, the refusal is the response.
//
// Errors: backend.ErrInvalid if the context has no key or the owner no address;
// backend.ErrUnavailable if no owner is known in time; backend.ErrDenied,
// ErrClosed; those of Options.Base.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	key, ok := route.Key(req.Context())
	if !ok {
		return unsent(req, fmt.Errorf("httproute: %w: the request's context has no key, see route.WithKey", backend.ErrInvalid))
	}
	owner, ok := t.router.Owner(key)
	if !ok {
		var err error
		if owner, err = t.await(req.Context(), key, partition.Owner{}); err != nil {
			return unsent(req, fmt.Errorf("httproute: %w", err))
		}
	}
	response, err := t.send(req, owner)
	if !refused(response, err) || !replayable(req) {
		return response, err
	}
	next, late := t.await(req.Context(), key, owner)
	if late != nil {
		return response, err
	}
	if response != nil {
		_, _ = io.CopyN(io.Discard, response.Body, maxRefusal)
		response.Body.Close()
	}
	again := *req
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, fmt.Errorf("httproute: %w", err)
		}
	}
	return t.send(&again, next)
}

func (t *Transport) await(ctx context.Context, key string, not partition.Owner) (partition.Owner, error) {
	ctx, cancel := context.WithTimeout(ctx, t.opts.Wait)
	defer cancel()
	return t.router.Await(ctx, key, not)
}

// send sends a request to an owner. It leaves req as it is.
func (t *Transport) send(req *http.Request, owner partition.Owner) (*http.Response, error) {
	if owner.Member.Addr == "" {
		return unsent(req, fmt.Errorf("httproute: %w: the member %q has no Addr", backend.ErrInvalid, owner.Member.ID))
	}
	sent, to := *req, *req.URL
	to.Host = owner.Member.Addr
	sent.URL = &to
	if sent.Host == "" {
		sent.Host = req.URL.Host
	}
	sent.Header = req.Header.Clone()
	if sent.Header == nil {
		sent.Header = make(http.Header)
	}
	sent.Header.Set(SlotHeader, route.TicketFor(t.router, owner).String())
	return t.opts.Base.RoundTrip(&sent)
}

// unsent closes the body of a request that is not sent, as a RoundTripper must.
func unsent(req *http.Request, err error) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, err
}

// refused reports whether a request surely was not executed.
func refused(response *http.Response, err error) bool {
	if err != nil {
		var op *net.OpError
		return errors.As(err, &op) && op.Op == "dial"
	}
	return response.StatusCode == http.StatusMisdirectedRequest && response.Header.Get(RefusedHeader) != ""
}

func replayable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}
