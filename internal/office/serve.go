package office

import (
	"context"
	"errors"
)

// Serve runs body under the tenure's context and ends the tenure after it. It
// reports whether that was lost, and what body returned. A body that does not
// return when its context ends is reported in the log and the trace. If body
// panics the tenure ends and the panic goes on.
func (t *Tenure) Serve(ctx context.Context, body func(context.Context) error) (lost bool, err error) {
	stop := t.overruns()
	defer func() {
		// In a defer, so that a panic in body leaves no leader key behind.
		stop()
		// The cause may be the loss of another tenure, under which the caller runs.
		lost = t.lost.Load() && errors.Is(context.Cause(t.ctx), t.office.spec.Lost)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		t.once.Do(func() { t.end(end, err) })
	}()
	return false, body(t.ctx)
}

// WithCause joins the cause of ctx's end with what a body returned, unless that
// says the same.
func WithCause(ctx context.Context, body error) error {
	cause := context.Cause(ctx)
	if body == nil || errors.Is(cause, body) || body == ctx.Err() { //nolint:errorlint // One that wraps it says more.
		return cause
	}
	if errors.Is(body, cause) {
		return body
	}
	return errors.Join(cause, body)
}
