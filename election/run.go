package election

import (
	"context"
	"errors"
	"fmt"

	"github.com/quorate/quorate/backend"
)

// Run campaigns, runs body while it leads, and campaigns again after the
// leadership was lost, until body returns while leading, or ctx ends.
//
// The context given to body ends when the leadership does, with the cause, and
// when ctx does. Run always waits for body to return before it gives up the
// office or campaigns again: body has to return when its context ends. A body
// that does not is reported in the log and the trace.
//
//	body returned                     Run
//	while leading                     resigns, returns body's error
//	after the leadership was lost     logs body's error, campaigns again
//	after ctx ended                   resigns, returns the cause and body's error
//	by a panic                        resigns, the panic continues
//
// Other errors: ErrCampaigning; backend.ErrInvalid for a nil body,
// backend.ErrDenied, ErrClosed. While the store is unavailable Run waits, and
// says so in the log.
func (e *Election) Run(ctx context.Context, body func(context.Context, *Leadership) error) error {
	if body == nil {
		return fmt.Errorf("election %q: %w: the body is nil", e.name, backend.ErrInvalid)
	}
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.finish()
	for {
		lead, err := e.campaign(ctx, ctx, nil)
		if err != nil {
			return err
		}
		lost, err := e.serve(ctx, lead, body)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("election %q: %w", e.name, withCause(ctx, err))
		case !lost:
			return err
		case err != nil:
			e.store.Logger().Warn("the body of a lost leadership has returned", "election", e.name, "term", lead.Term(), "body", err)
		}
	}
}

// withCause joins the cause of ctx's end with what the body returned, unless
// that says the same.
func withCause(ctx context.Context, body error) error {
	cause := context.Cause(ctx)
	if body == nil || errors.Is(cause, body) || body == ctx.Err() {
		return cause
	}
	if errors.Is(body, cause) {
		return body
	}
	return errors.Join(cause, body)
}

// serve runs body under lead and ends the leadership after it. It reports
// whether that was lost, and what body returned.
func (e *Election) serve(ctx context.Context, lead *Leadership, body func(context.Context, *Leadership) error) (lost bool, err error) {
	stop := lead.overruns()
	defer func() {
		// In a defer, so that a panic in body leaves no leader key behind.
		stop()
		lost = errors.Is(context.Cause(lead.ctx), ErrLost)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		lead.once.Do(func() { lead.end(end, err) })
	}()
	return false, body(lead.ctx, lead)
}
