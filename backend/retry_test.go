package backend_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
)

// job is what the tests try again.
var job = backend.Subject{Kind: "job", Name: "nightly"}

// counting is a slog.Handler that keeps the messages.
type counting struct {
	slog.Handler
	messages log[string]
}

func (c *counting) Enabled(context.Context, slog.Level) bool { return true }

func (c *counting) Handle(_ context.Context, r slog.Record) error {
	c.messages.add(r.Message)
	return nil
}

func TestRetryUntilItWorks(t *testing.T) {
	// Catches: pauses above the limit or not traced; a log line per attempt, or
	// none.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		logged := &counting{Handler: slog.DiscardHandler}
		var retrying log[backend.Retrying]
		s := over(t, &fake{}, &backend.Options{Logger: slog.New(logged), Trace: &backend.Trace{Retrying: retrying.add}})
		passed, calls := since(), 0
		err := s.Retry(t.Context(), job, "run", func(context.Context) error {
			calls++
			if passed() < 10*time.Minute {
				return backend.ErrIndeterminate
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		pauses := time.Duration(0)
		for i, r := range retrying.all() {
			if r.Operation != "run" || r.Kind != job.Kind || r.Name != job.Name || r.Attempt != i+1 || r.Pause > time.Second || !errors.Is(r.Err, backend.ErrIndeterminate) {
				t.Fatalf("traced: %+v", r)
			}
			pauses += r.Pause
		}
		if pauses != passed() || len(retrying.all()) != calls-1 || calls < 600 || calls > 2400 {
			t.Errorf("%d calls with pauses of %v in %v", calls, pauses, passed())
		}
		lines := logged.messages.all()
		if n := len(lines); n < 56 || n > 62 || lines[n-1] != "recovered" || lines[0] != "trying again" {
			t.Errorf("%d lines in the log, the last %q", n, lines[n-1])
		}
	})
}

func TestRetryOfWhatFailsForGood(t *testing.T) {
	// Catches: an error missing from those that end it, or wrapped wrongly.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		s := over(t, &fake{}, nil)
		for _, failure := range []error{
			backend.ErrSessionLost, backend.ErrFenced, backend.ErrDenied, backend.ErrTooLarge,
			backend.ErrInvalid, backend.ErrFormat, backend.ErrClosed,
		} {
			calls := 0
			err := s.Retry(t.Context(), job, "run", func(context.Context) error {
				calls++
				return fmt.Errorf("deep: %w", failure)
			})
			wantErr(t, err, failure)
			if calls != 1 {
				t.Errorf("%v: %d calls", failure, calls)
			}
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	// Catches: a pause that ignores ctx; the cause or the last failure hidden.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		s := over(t, &fake{}, nil)
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, why)
		defer cancel()
		passed := since()
		err := s.Retry(ctx, job, "run", func(context.Context) error { return backend.ErrUnavailable })
		wantErr(t, err, why, backend.ErrUnavailable)
		wantTime(t, "Retry returned", passed(), time.Minute)
	})
}
