package restart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
)

const (
	awaitBase     = 50 * time.Millisecond
	awaitMax      = 2 * time.Second
	awaitAttempt  = 3 * time.Second
	awaitLogFirst = time.Second
	awaitLogEvery = 10 * time.Second
)

func isClosed(err error) bool { return errors.Is(err, backend.ErrClosed) }

// Await waits until every check has succeeded once. It asks all of them at
// once, each again after a pause of full jitter of up to 2 s, and each time for
// 3 s at most. It logs what is missing to slog.Default() after a second, and
// then every ten seconds.
//
// When ctx ends the error wraps its cause and, by name, each missing check with
// its last answer. A check that fails for good (Permanent) or panics ends the
// wait with its error. A Check without a name or function is
// backend.ErrInvalid. Await has joined all checks when it returns.
//
// Nothing here needs Await: a Store and the primitives wait by themselves. Use
// it for dependencies that do not wait, and to log at the start what is
// missing.
func Await(ctx context.Context, checks ...Check) error {
	for _, c := range checks {
		if err := c.valid(); err != nil {
			return fmt.Errorf("await: %w", err)
		}
	}
	w := &wait{began: time.Now(), answers: make([]error, len(checks)), good: make([]bool, len(checks))}
	asking, end := context.WithCancelCause(ctx)
	defer end(nil)
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			if err := w.until(asking, i, c); err != nil {
				end(err)
			}
		})
	}
	done := make(chan struct{})
	go func() { defer close(done); all.Wait() }()
	said := w.report(checks, done)
	for i, c := range checks {
		if err := w.answers[i]; err != nil && hopeless(err) {
			return fmt.Errorf("await: %s: %w", c.Name, err)
		}
	}
	if missing := w.missing(checks); len(missing) > 0 {
		return fmt.Errorf("await: %w after %v: still missing: %w", context.Cause(ctx), time.Since(w.began).Round(time.Millisecond), missing)
	}
	if said {
		slog.Default().Info("all there", "waited", time.Since(w.began))
	}
	return nil
}

// wait is one Await.
type wait struct {
	began time.Time

	mu      sync.Mutex
	answers []error // the last bad one of each check
	good    []bool
}

// until asks one check until it answers well, and returns an error if that is
// in vain.
func (w *wait) until(ctx context.Context, i int, c Check) error {
	pauses := newPauses(awaitBase, awaitMax)
	for ctx.Err() == nil {
		attempt, done := context.WithTimeout(ctx, awaitAttempt)
		err := c.ask(attempt)
		done()
		w.mu.Lock()
		w.good[i] = err == nil
		if err != nil && (ctx.Err() == nil || w.answers[i] == nil || hopeless(err)) {
			w.answers[i] = err // and not that the wait was over
		}
		w.mu.Unlock()
		switch {
		case err == nil:
			return nil
		case hopeless(err):
			return err
		}
		_ = backend.Sleep(ctx, pauses.NextBackOff())
	}
	return nil
}

func hopeless(err error) bool {
	var p *PanicError
	return permanent(err) || errors.As(err, &p)
}

// report says now and then what is missing, until done, and whether it did.
func (w *wait) report(checks []Check, done <-chan struct{}) (said bool) {
	timer := time.NewTimer(awaitLogFirst)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return said
		case <-timer.C:
			timer.Reset(awaitLogEvery)
			if missing := w.missing(checks); len(missing) > 0 {
				said = true
				slog.Default().Warn("waiting", "waited", time.Since(w.began), "for", missing.Error())
			}
		}
	}
}

// missing returns what has not answered well.
func (w *wait) missing(checks []Check) (missing missingError) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range checks {
		switch err := w.answers[i]; {
		case w.good[i]:
		case err == nil:
			missing = append(missing, fmt.Errorf("%s (no answer yet)", c.Name))
		default:
			missing = append(missing, fmt.Errorf("%s (%w)", c.Name, err))
		}
	}
	return missing
}

// missingError lists what Await waited for in vain, on one line.
type missingError []error

func (m missingError) Error() string {
	all := make([]string, len(m))
	for i, err := range m {
		all[i] = err.Error()
	}
	return strings.Join(all, "; ")
}

func (m missingError) Unwrap() []error { return m }
