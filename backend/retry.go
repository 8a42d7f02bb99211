package backend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Pauses of Retry, and how often it says in the log that it still tries.
const (
	retryBase     = 50 * time.Millisecond
	retryCap      = time.Second
	retryLogEvery = 10 * time.Second
)

// Retry calls fn until it succeeds, fails permanently, or ctx ends. Between two
// calls it pauses with full jitter, up to a second. Use it for an operation that
// must succeed in the end, however long the store is unavailable. The subject
// and the operation name it in the log and the trace. The log has the first
// failure, then one every 10 s.
//
// ErrSessionLost, ErrFenced, ErrTooLarge, ErrInvalid, ErrFormat and ErrClosed
// are final at once. ErrDenied is final at once if this Store was never served,
// and otherwise once the store has refused for 10 s without a break. When ctx
// ends the error wraps its cause and the last failure.
//
// Retry is for an operation that no other process waits for. Use RetryUnder
// where the session owns keys that others wait for.
func (s *Store) Retry(ctx context.Context, of Subject, operation Operation, fn func(context.Context) error) error {
	return s.retry(ctx, of, operation, refusedFor, fn)
}

// RetryUnder is Retry for an operation of a process whose keys under session
// others wait for. ErrDenied is final once the store has refused for half a
// TTL. Call CleanUp after a failure: then all refusals together last a TTL at
// most before the others continue.
func (s *Store) RetryUnder(ctx context.Context, session *Session, of Subject, operation Operation, fn func(context.Context) error) error {
	return s.retry(ctx, of, operation, session.TTL()/2, fn)
}

func (s *Store) retry(ctx context.Context, of Subject, operation Operation, within time.Duration, fn func(context.Context) error) error {
	var logged time.Time
	row := refusals{within: within}
	for attempt := 0; ; attempt++ {
		err := fn(ctx)
		if err == nil {
			if attempt > 0 {
				s.opts.Logger.Info("recovered", "operation", operation, "kind", of.Kind, "name", of.Name, "attempts", attempt+1)
			}
			return nil
		}
		verdict := s.verdict(err)
		switch {
		case s.life.Err() != nil && !permanent(err):
			return fmt.Errorf("%w: %w", ErrClosed, err)
		case row.over(verdict), ctx.Err() != nil:
			return withCause(ctx, err)
		}
		pause := fullJitter(attempt, retryBase, retryCap)
		if verdict == refused {
			pause = min(pause, row.left()) // the last attempt is at the end of the row
		}
		if f := s.opts.Trace.Retrying; f != nil {
			f(Retrying{Operation: operation, Kind: of.Kind, Name: of.Name, Attempt: attempt + 1, Pause: pause, Err: err})
		}
		if time.Since(logged) >= retryLogEvery {
			logged = time.Now()
			s.opts.Logger.Warn("trying again", "operation", operation, "kind", of.Kind, "name", of.Name, "attempt", attempt+1, "error", err)
		}
		switch cause := s.pause(ctx, pause); {
		case ctx.Err() != nil:
			return withCause(ctx, err)
		case cause != nil:
			return fmt.Errorf("%w: %w", cause, err)
		}
	}
}

// fullJitter returns a pause between zero and base doubled attempt times, at
// most limit ("full jitter": Brooker, Exponential Backoff And Jitter, AWS
// Architecture Blog, 2015).
func fullJitter(attempt int, base, limit time.Duration) time.Duration {
	ceiling := limit
	if attempt < 32 && base<<attempt > 0 {
		ceiling = min(limit, base<<attempt)
	}
	return rand.N(ceiling + 1)
}

// pause waits for d, or until ctx or the Store ends, and then returns the cause
// of the former or ErrClosed.
func (s *Store) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.life.Done():
		return ErrClosed
	case <-timer.C:
		return nil
	}
}
