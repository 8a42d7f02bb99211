package election

import (
	"context"
	"errors"
	"fmt"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/office"
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
//	while leading                     resigns, returns body's error, nil if none
//	ErrAgain while leading            resigns, campaigns again
//	after the leadership was lost     logs body's error, campaigns again
//	after the process stepped down    logs body's error, resigns, campaigns again
//	after ctx ended                   resigns, returns the cause and body's error
//	by a panic                        resigns, the panic continues
//
// A process steps down by Transfer, for a candidate with a higher Priority, or if
// Healthy fails.
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
		t, err := e.campaign(ctx, ctx, nil)
		if err != nil {
			return err
		}
		lead := e.current.Load()
		lost, err := t.Serve(ctx, func(ctx context.Context) error { return body(ctx, lead) })
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("election %q: %w", e.name, office.WithCause(ctx, err))
		case !lost && !t.SteppedDown():
			if !errors.Is(err, ErrAgain) {
				return err
			}
		case err != nil && !errors.Is(err, context.Canceled):
			e.store.Logger().Warn("the body of a leadership that ended has returned", "election", e.name, "term", lead.Term(), "body", err)
		}
	}
}
