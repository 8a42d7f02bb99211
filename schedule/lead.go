package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
)

const (
	// confirmEvery is how long a leader whose save was refused waits before it
	// claims the progress again.
	confirmEvery = time.Second
	// lookEvery bounds a wait for a tick: then the clock is read again, which may
	// have been set.
	lookEvery = 10 * time.Second
	// farAhead is how far the last tick lies ahead of the clock until the log says
	// so.
	farAhead = time.Minute
)

// lead runs the jobs of one leadership. It returns nil once that has ended, and an
// error that ends Run otherwise.
func (s *Schedule) lead(ctx context.Context, lead *election.Leadership, job func(context.Context, Tick) error) error {
	for {
		err := s.follow(ctx, lead, job)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // The leadership has ended.
		case !errors.Is(err, backend.ErrFenced):
			return err
		}
		// The guard no longer stands, and Confirm ends the leadership; or somebody
		// else has claimed the progress, and this leader claims it again.
		_ = lead.Confirm(ctx)
		if backend.Sleep(ctx, confirmEvery) != nil {
			return nil //nolint:nilerr // The leadership has ended.
		}
	}
}

// follow claims the progress and runs tick after tick.
func (s *Schedule) follow(ctx context.Context, lead *election.Leadership, job func(context.Context, Tick) error) error {
	last, found, err := s.progress.Claim(ctx, lead.Guard())
	if err != nil {
		return err
	}
	if !found {
		last.Tick = time.Now() // no tick of before is missed
		if err := s.progress.Save(ctx, last); err != nil {
			return err
		}
	}
	if by := time.Until(last.Tick); by > farAhead {
		s.store.Logger().Warn("the last tick is ahead of this clock", "schedule", s.label.Name, "tick", last.Tick, "by", by)
	}
	tick := Tick{Time: last.Tick.Local(), Again: last.Begun && s.opts.AtLeastOnce, Term: lead.Term(), Guard: lead.Guard()}
	for {
		if !tick.Again {
			if tick.Time, err = s.next(tick.Time, time.Now()); err != nil {
				return err
			}
			if err := until(ctx, tick.Time); err != nil {
				return err
			}
		}
		if err := s.run(ctx, tick, job); err != nil {
			return err
		}
		tick.Again = false
	}
}

// run saves the tick and runs its job. With AtLeastOnce it saves as well that the
// job has returned, unless that may be because its context ended.
func (s *Schedule) run(ctx context.Context, tick Tick, job func(context.Context, Tick) error) error {
	if err := s.progress.Save(ctx, progress{Tick: tick.Time, Begun: s.opts.AtLeastOnce}); err != nil {
		return err
	}
	began := time.Now()
	err := job(ctx, tick)
	took := time.Since(began)
	s.store.TraceJobRan(backend.JobRan{
		Kind: s.label.Kind, Name: s.label.Name, Tick: tick.Time, Term: tick.Term, Took: took, Err: err,
	})
	if err != nil {
		s.store.Logger().Warn("job failed", "schedule", s.label.Name, "tick", tick.Time, "term", tick.Term, "took", took, "error", err)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.opts.AtLeastOnce:
		return s.progress.Save(ctx, progress{Tick: tick.Time})
	}
	return nil
}

// next returns the tick to run after last, the zero time if there is none.
func (s *Schedule) next(last, now time.Time) (time.Time, error) {
	first, err := s.after(last)
	if err != nil || first.IsZero() || first.After(now) {
		return first, err
	}
	switch s.opts.Missed {
	case RunAll:
		return first, nil
	case Skip:
		return s.after(now)
	default:
		return s.latest(first, now)
	}
}

// after is Ticks.Next, checked. Ticks have no monotonic clock reading: the clock
// may be set before they come.
func (s *Schedule) after(t time.Time) (time.Time, error) {
	next := s.ticks.Next(t.Round(0)).Round(0)
	if !next.IsZero() && !next.After(t) {
		return next, fmt.Errorf("%w: Next(%v) is %v", backend.ErrInvalid, t, next)
	}
	return next, nil
}

// latest returns the last tick that is not after now; first is one of those. It
// looks back from now, twice as far each time, for there may be many since first.
func (s *Schedule) latest(first, now time.Time) (time.Time, error) {
	tick := first
	for back := time.Second; now.Add(-back).After(first); back *= 2 {
		late, err := s.after(now.Add(-back))
		if err != nil {
			return late, err
		}
		if !late.IsZero() && !late.After(now) {
			tick = late
			break
		}
	}
	for {
		later, err := s.after(tick)
		if err != nil || later.IsZero() || later.After(now) {
			return tick, err
		}
		tick = later
	}
}

// until waits for a tick by the wall clock, or until ctx ends, and then returns its
// cause. It waits for ctx alone if there is no tick.
func until(ctx context.Context, tick time.Time) error {
	for {
		wait := lookEvery
		if !tick.IsZero() {
			wait = min(time.Until(tick), lookEvery)
		}
		if wait <= 0 && !tick.IsZero() {
			return nil
		}
		if err := backend.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}
