package restart_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/restart"
)

var (
	errWork = errors.New("the work's own")
	quiet   = slog.New(slog.DiscardHandler)
)

// failing supervises a function whose n-th run lasts ran(n) and fails, and
// returns the pauses before each further run and what Supervise returned.
func failing(t *testing.T, policy restart.Policy, ran func(n int) time.Duration) (pauses []time.Duration, err error) {
	t.Helper()
	policy.Logger = quiet
	var ended time.Time
	n := 0
	err = restart.Supervise(t.Context(), func(context.Context) error {
		if n++; n > 1 {
			pauses = append(pauses, time.Since(ended))
		}
		if n > 10_000 {
			return nil // it never gives up
		}
		time.Sleep(ran(n))
		ended = time.Now()
		return errWork
	}, &policy)
	return pauses, err
}

func TestSuperviseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pauses, err := failing(t, restart.Policy{Name: "worker", Budget: 7}, func(int) time.Duration { return time.Millisecond })
		if len(pauses) != 7 {
			t.Errorf("%d restarts, want the 7 of the budget", len(pauses))
		}
		if !errors.Is(err, restart.ErrGaveUp) || !errors.Is(err, errWork) || !strings.Contains(err.Error(), "worker") {
			t.Errorf("Supervise = %v, want ErrGaveUp and the last failure by name", err)
		}
	})
}

func TestRestartsOutsideTheWindowDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A failure a minute: 5 fall into 5 minutes, never a 6th.
		steady := func(n int) time.Duration {
			if n > 100 {
				return 0 // and now without end
			}
			return time.Minute
		}
		pauses, err := failing(t, restart.Policy{Budget: 6, Window: 5 * time.Minute, Base: time.Second, Max: time.Second}, steady)
		if !errors.Is(err, restart.ErrGaveUp) {
			t.Errorf("Supervise = %v, want ErrGaveUp", err)
		}
		if len(pauses) < 100 || len(pauses) > 107 {
			t.Errorf("it gave up after %d restarts, want those of 100 minutes and a few", len(pauses))
		}
	})
}

func TestPausesGrowWithFullJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rounds, budget = 300, 8
		base, limit := time.Second, 20*time.Second
		var sums, maxima [budget]time.Duration
		for range rounds {
			pauses, _ := failing(t, restart.Policy{Base: base, Max: limit, Budget: budget}, func(int) time.Duration { return 0 })
			bound := base
			for i, pause := range pauses {
				if pause > bound+1 {
					t.Fatalf("pause %d is %v, want %v at most", i, pause, bound)
				}
				sums[i] += pause
				maxima[i] = max(maxima[i], pause)
				bound = min(2*bound, limit)
			}
		}
		bound := base
		for i := range sums {
			// Of what is drawn evenly from 0 to the bound the mean is a half.
			if mean := sums[i] / rounds; mean < bound*4/10 || mean > bound*6/10 || maxima[i] < bound*9/10 {
				t.Errorf("pause %d: mean %v, longest %v, want full jitter up to %v", i, mean, maxima[i], bound)
			}
			bound = min(2*bound, limit)
		}
	})
}

func TestAHealthyPeriodResetsThePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		healthy := func(n int) time.Duration {
			if n%5 == 0 {
				return time.Hour
			}
			return 0
		}
		pauses, _ := failing(t, restart.Policy{Base: time.Second, Max: time.Hour, Healthy: time.Hour, Budget: 200, Window: 1000 * time.Hour}, healthy)
		for i, pause := range pauses {
			if bound := time.Second << (i % 5); i >= 4 && pause > time.Second<<((i-4)%5)+1 {
				t.Fatalf("pause %d is %v, want it to begin anew after a healthy run (%v)", i, pause, bound)
			}
		}
		if len(pauses) != 200 {
			t.Errorf("%d pauses", len(pauses))
		}
	})
}

func TestAPanicIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		runs := 0
		err := restart.Supervise(t.Context(), func(context.Context) error {
			if runs++; runs < 3 {
				panic("boom")
			}
			return nil
		}, &restart.Policy{Logger: slog.New(slog.NewTextHandler(&out, nil))})
		if err != nil || runs != 3 {
			t.Errorf("Supervise = %v after %d runs", err, runs)
		}
		if log := out.String(); strings.Count(log, `error="panic: boom"`) != 2 || !strings.Contains(log, "TestAPanicIsAFailure") {
			t.Errorf("the log lacks the panics with their stacks:\n%s", log)
		}
		err = restart.Supervise(t.Context(), func(context.Context) error { panic(errWork) }, &restart.Policy{Budget: 1, Logger: quiet})
		var p *restart.PanicError
		if !errors.As(err, &p) || p.Value != any(errWork) || !strings.Contains(string(p.Stack), "TestAPanicIsAFailure") {
			t.Errorf("Supervise = %v, want a PanicError with the stack", err)
		}
	})
}

func TestPermanentStopsEveryLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		err := restart.Supervise(t.Context(), func(ctx context.Context) error {
			return restart.Supervise(ctx, func(context.Context) error {
				runs++
				return restart.Permanent(errWork)
			}, &restart.Policy{Logger: quiet})
		}, &restart.Policy{Logger: quiet})
		if !errors.Is(err, errWork) || errors.Is(err, restart.ErrGaveUp) || runs != 1 {
			t.Errorf("Supervise = %v after %d runs, want the error after one", err, runs)
		}
		if restart.Permanent(nil) != nil {
			t.Error("Permanent(nil) is an error")
		}
	})
}

func TestWhoGaveUpIsRestartedFromAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		err := restart.Supervise(t.Context(), func(ctx context.Context) error {
			return restart.Supervise(ctx, func(context.Context) error {
				runs++
				return errWork
			}, &restart.Policy{Budget: 2, Logger: quiet})
		}, &restart.Policy{Budget: 3, Logger: quiet})
		if !errors.Is(err, restart.ErrGaveUp) || runs != 3*4 {
			t.Errorf("Supervise = %v after %d runs, want 12", err, runs)
		}
	})
}

func TestSuperviseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("stop")
		for name, fn := range map[string]func(ctx context.Context) error{
			"in a run":   func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
			"in a pause": func(context.Context) error { return errWork },
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Minute, func() { cancel(stop) })
			err := restart.Supervise(ctx, fn, &restart.Policy{Base: time.Hour, Budget: 1000, Logger: quiet})
			if !errors.Is(err, stop) || errors.Is(err, errWork) {
				t.Errorf("%s: Supervise = %v, want the cause", name, err)
			}
			if err := restart.Supervise(ctx, func(context.Context) error { t.Error("it runs"); return nil }, nil); !errors.Is(err, stop) {
				t.Errorf("%s: with a context that has ended: %v", name, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := restart.Supervise(ctx, func(context.Context) error { cancel(); return errWork }, nil)
		if !errors.Is(err, errWork) {
			t.Errorf("Supervise = %v, want what the last run returned", err)
		}
	})
}

func TestBadPolicies(t *testing.T) {
	run := func(context.Context) error { t.Error("it runs"); return nil }
	for name, err := range map[string]error{
		"no function":     restart.Supervise(t.Context(), nil, nil),
		"negative Base":   restart.Supervise(t.Context(), run, &restart.Policy{Base: -1}),
		"Max under Base":  restart.Supervise(t.Context(), run, &restart.Policy{Base: 2, Max: 1}),
		"negative Budget": restart.Supervise(t.Context(), run, &restart.Policy{Budget: -1}),
		"negative Window": restart.Supervise(t.Context(), run, &restart.Policy{Window: -1}),
	} {
		if !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}
