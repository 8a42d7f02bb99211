package restart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/quorate/quorate/backend"
)

// ErrGaveUp: a budget of restarts is spent. The failed part must be started
// afresh from further up; at the top Run makes it an exit code.
var ErrGaveUp = errors.New("gave up restarting")

// Permanent marks err as one that trying again is in vain for: Supervise does
// not restart, and Await does not wait on, after it. Both return it, and it
// stays marked. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return backoff.Permanent(err)
}

func permanent(err error) bool {
	var p *backoff.PermanentError
	return errors.As(err, &p)
}

// Policy says how Supervise restarts; nil and zero fields mean
// the defaults.
type Policy struct {
	// Name is what the log and errors call what is supervised.
	Name string

	// Base and Max bound the pauses before a restart (default 500 ms and 30 s).
	// The first pause is between zero and Base. The bound of each further pause
	// is twice the last bound, up to Max.
	Base, Max time.Duration

	// Healthy is how long a run lasts that counts as a success though it failed
	// in the end: the pauses begin at Base again. A minute by default.
	Healthy time.Duration

	// Budget is how many restarts there may be within Window; one more, and
	// Supervise gives up. 10 within 10 minutes by default.
	Budget int
	Window time.Duration

	// Logger is told of each restart; nil means slog.Default().
	Logger *slog.Logger
}

func (p *Policy) withDefaults() (Policy, error) {
	var policy Policy
	if p != nil {
		policy = *p
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		byDef time.Duration
	}{
		{"Base", &policy.Base, 500 * time.Millisecond},
		{"Max", &policy.Max, max(30*time.Second, policy.Base)},
		{"Healthy", &policy.Healthy, time.Minute},
		{"Window", &policy.Window, 10 * time.Minute},
	} {
		if *d.value < 0 {
			return policy, fmt.Errorf("%w: Policy.%s is negative", backend.ErrInvalid, d.name)
		}
		if *d.value == 0 {
			*d.value = d.byDef
		}
	}
	if policy.Max < policy.Base {
		return policy, fmt.Errorf("%w: Policy.Max of %v is less than Base, %v", backend.ErrInvalid, policy.Max, policy.Base)
	}
	if policy.Budget < 0 {
		return policy, fmt.Errorf("%w: Policy.Budget is negative", backend.ErrInvalid)
	}
	if policy.Budget == 0 {
		policy.Budget = 10
	}
	if policy.Logger == nil {
		policy.Logger = slog.Default()
	}
	if policy.Name != "" {
		policy.Logger = policy.Logger.With("name", policy.Name)
	}
	return policy, nil
}

// wrap adds the name to an error.
func (p *Policy) wrap(err error) error {
	if p.Name == "" {
		return fmt.Errorf("supervise: %w", err)
	}
	return fmt.Errorf("supervise %s: %w", p.Name, err)
}

// Supervise calls fn, and again each time it fails, after a pause of full
// jitter that grows. A panic of fn is a failure with a *PanicError.
//
//	fn returned              Supervise
//	nil                      returns nil
//	an error                 calls fn again after a pause; with the budget spent
//	                         it returns an error that wraps ErrGaveUp and this one
//	an error of Permanent    returns it at once
//	after ctx ended          returns the error of fn
//	by a panic               as after an error, a *PanicError
//
// If ctx ends in a pause, Supervise returns its cause. It blocks until then, and
// fn has always returned before it does. A policy that makes no sense is
// backend.ErrInvalid; fn is not called. docs/failure-modes.md compares this table with
// those of election.Run and partition.Run.
//
// To supervise several parts, call it in several goroutines, for example of an
// errgroup. When one gives up the group ends, and the process with it.
func Supervise(ctx context.Context, fn func(context.Context) error, policy *Policy) error {
	p, err := policy.withDefaults()
	if err == nil && fn == nil {
		err = fmt.Errorf("%w: the function is nil", backend.ErrInvalid)
	}
	if err != nil {
		return p.wrap(err)
	}
	pauses := newPauses(p.Base, p.Max)
	var restarts []time.Time // within Window, oldest first
	for ctx.Err() == nil {
		began := time.Now()
		err := catch(func() error { return fn(ctx) })
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil, permanent(err):
			return p.wrap(err)
		}
		now := time.Now()
		for len(restarts) > 0 && now.Sub(restarts[0]) >= p.Window {
			restarts = restarts[1:]
		}
		if len(restarts) >= p.Budget {
			return p.wrap(fmt.Errorf("%w after %d restarts within %v: %w", ErrGaveUp, len(restarts), p.Window, err))
		}
		restarts = append(restarts, now)
		if now.Sub(began) >= p.Healthy {
			pauses.Reset()
		}
		pause := pauses.NextBackOff()
		attrs := []any{"after", now.Sub(began), "pause", pause, "restarts", len(restarts), "budget", p.Budget, "window", p.Window}
		p.Logger.Warn("restarting", append(attrs, brief(err)...)...)
		if backend.Sleep(ctx, pause) != nil {
			break
		}
	}
	return p.wrap(context.Cause(ctx))
}

// newPauses returns pauses of full jitter: the first between zero and base,
// then up to twice as much each time, up to limit.
func newPauses(base, limit time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	// It draws from its interval times 1 - factor to 1 + factor.
	b.InitialInterval, b.MaxInterval = max(base/2, 1), max(limit/2, 1)
	b.RandomizationFactor, b.Multiplier = 1, 2
	b.MaxElapsedTime = 0 // never stops by itself
	b.Reset()
	return b
}
