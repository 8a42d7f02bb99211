package backend

import (
	"context"
	"errors"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// The policy of errors. Each driver says of its store's answers which error
// they are (docs/errors.md has the table); this file says what is done about
// each. There is no other place that decides.
//
//	final      ErrSessionLost, ErrFenced, ErrTooLarge, ErrInvalid, ErrFormat,
//	           ErrClosed: nothing is tried again.
//	refused    ErrDenied, of a credential that this Store was served with before,
//	           or that the server does not know: Retry tries again for
//	           refusedFor, RetryUnder and CleanUp for half a TTL each. Other
//	           refusals are final.
//	passing    ErrUnavailable, ErrIndeterminate and errors of no kind: Retry
//	           tries again as long as its context lives. ErrOverloaded also slows
//	           the whole driver (driver.Pacer).
//
// Each row of attempts has pauses of full jitter that grow to a second. The
// first failure of a row and one every 10 s is a WARN, each attempt a Retrying
// event, the end of a row an INFO. No error is kept: the next call of whatever
// failed asks the store again.
type verdict int

const (
	final verdict = iota
	refused
	passing
)

// refusedFor is how long a refusal lasts before it is final where nothing is at
// stake meanwhile. It covers servers that restart and policies that are being
// replaced.
const refusedFor = 10 * time.Second

// verdict says what is done about err.
func (s *Store) verdict(err error) verdict {
	switch {
	case !permanent(err):
		return passing
	case errors.Is(err, driver.ErrUnknownCredential), errors.Is(err, ErrDenied) && s.served.Load():
		return refused
	}
	return final
}

// permanent reports whether one call is not to be repeated on its own.
func permanent(err error) bool {
	for _, target := range []error{ErrSessionLost, ErrFenced, ErrDenied, ErrTooLarge, ErrInvalid, ErrClosed, ErrFormat} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// refusals measures an unbroken row of refusals.
type refusals struct {
	within time.Duration // how long a row may be
	since  time.Time     // when the present row began, zero if there is none
}

// over notes an error, and reports whether its verdict is final by now.
func (r *refusals) over(v verdict) bool {
	switch v {
	case passing:
		r.since = time.Time{}
		return false
	case refused:
		now := time.Now()
		if r.since.IsZero() {
			r.since = now
		}
		return now.Sub(r.since) >= r.within
	default:
		return true
	}
}

// left is how long the present row may still be.
func (r *refusals) left() time.Duration { return r.within - time.Since(r.since) }

// paced runs do, a call of the driver, in its turn if the store refuses calls
// for load: then again, until ctx ends.
func (s *Store) paced(ctx context.Context, do func(context.Context) error) (err error) {
	call := func() error { return do(ctx) }
	if s.pacer == nil {
		return s.during(call)
	}
	notSent := s.pacer.Do(ctx, func() bool {
		err = s.during(call)
		return overloaded(err)
	})
	if notSent != nil {
		return notSent
	}
	return err
}

// urgent runs do, a call of the driver that keeps a session, at once.
func (s *Store) urgent(do func() error) (err error) {
	if s.pacer == nil {
		return s.during(do)
	}
	s.pacer.Urgent(func() bool {
		err = s.during(do)
		return overloaded(err)
	})
	return err
}

func overloaded(err error) bool {
	return errors.Is(err, driver.ErrOverloaded) && !errors.Is(err, driver.ErrIndeterminate)
}

// reportPace logs that requests are limited, to so many per second, or are no
// longer.
func (s *Store) reportPace(perSecond float64) {
	if perSecond > 0 {
		s.opts.Logger.Warn("the store refuses requests for load, they are slowed down", "per_second", perSecond)
		return
	}
	s.opts.Logger.Info("requests are no longer slowed down")
}
