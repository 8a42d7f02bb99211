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
// office or campaigns again: body has to heed its context. When body returns
// while the leadership stands, Run resigns and returns body's error. When the
// leadership was lost, what body returns goes to the log and the trace, and
// Run campaigns again. When ctx has ended, Run resigns and returns the cause.
// If body panics, Run resigns and the panic goes on.
//
// Other errors: ErrCampaigning; backend.ErrInvalid for a nil body,
// backend.ErrDenied, ErrFormat, ErrClosed. While the store is away Run waits,
// and says so in the log.
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
			return fmt.Errorf("election %q: %w", e.name, context.Cause(ctx))
		case !lost:
			return err
		}
	}
}

// serve runs body under lead and ends the leadership after it. It reports
// whether that was lost, and what body returned.
func (e *Election) serve(ctx context.Context, lead *Leadership, body func(context.Context, *Leadership) error) (lost bool, err error) {
	defer func() {
		// In a defer, so that a panic in body leaves no office behind.
		lost = errors.Is(context.Cause(lead.ctx), ErrLost)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		lead.once.Do(func() { lead.end(end, err) })
	}()
	return false, body(lead.ctx, lead)
}
