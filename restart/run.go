package restart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/quorate/quorate/backend"
)

// The exit codes of Run. 2 is left to the Go runtime, which ends a process with
// it after a panic that nobody recovered.
const (
	// ExitClean: the work ended without an error, or as it was told to.
	ExitClean = 0
	// ExitFailed: the work returned an error or panicked, or Run was called
	// with arguments that make no sense.
	ExitFailed = 1
	// ExitOverran: the work had not ended DrainTimeout after it was told to.
	ExitOverran = 3
	// ExitGaveUp: the work returned an error that wraps ErrGaveUp.
	ExitGaveUp = 4
	// ExitInterrupted: a second signal came.
	ExitInterrupted = 5
)

// ErrDraining is the cause with which the work's context ends: the process was
// told to stop.
var ErrDraining = errors.New("draining")

var errGoexit = errors.New("the work ended by runtime.Goexit")

// Main runs body as Run does, and ends the process with the exit code.
// Functions deferred in main do not run: put the things to close into
// Options.Close.
func Main(body func(context.Context) error, options *Options) {
	os.Exit(Run(context.Background(), body, options))
}

// Run runs body, the work of a process, and returns the exit code of the
// process. On SIGTERM, SIGINT or the end of ctx it drains. Readiness goes off,
// ReadyDelay passes, and the context of body ends with the cause ErrDraining.
// Run waits for body to return, for DrainTimeout at most. Then it closes
// Options.Close. A second signal makes Run return at once.
//
// The code is ExitClean if body returned nil. It is also ExitClean if body's
// context had ended and body returned an error that wraps ErrDraining or
// context.Canceled. It is ExitGaveUp for an error that wraps ErrGaveUp, and
// ExitFailed for any other. A panic of body is caught and gives ExitFailed. A
// failure to close is logged and changes no code: the store may well be down.
//
// One line in the log says why the process ends, with the code.
//
// Run has joined body, except after ExitOverran and ExitInterrupted: the
// process should end then. Only a panic in body's own goroutine can be caught.
// Call one Run at a time, since it receives the signals of the whole process.
// Do not call it in a bubble of testing/synctest, since signals come from
// outside.
func Run(ctx context.Context, body func(context.Context) error, options *Options) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	return runUntil(ctx, signals, body, options)
}

// runUntil is Run, with the signals that it gets.
func runUntil(ctx context.Context, signals <-chan os.Signal, body func(context.Context) error, options *Options) int {
	opts, err := options.withDefaults()
	if err == nil && body == nil {
		err = fmt.Errorf("%w: the body is nil", backend.ErrInvalid)
	}
	r := &run{Options: opts, began: time.Now(), signals: signals, ended: make(chan error, 1)}
	if err != nil {
		return r.end(ExitFailed, "the process cannot run", err)
	}
	return r.run(ctx, body)
}

// run is one Run.
type run struct {
	Options
	began   time.Time
	signals <-chan os.Signal
	ended   chan error // what body returned
	told    bool       // a signal has come
}

func (r *run) run(ctx context.Context, body func(context.Context) error) int {
	// The work outlives ctx: by ReadyDelay, and it is told why it ends.
	work, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	go func() {
		err := errGoexit
		defer func() { r.ended <- err }()
		err = catch(func() error { return body(work) })
	}()
	var why error
	select {
	case err := <-r.ended:
		return r.close(work, "the work ended", err)
	case s := <-r.signals:
		r.told = true
		why = fmt.Errorf("%w: signal: %v", ErrDraining, s)
	case <-ctx.Done():
		why = fmt.Errorf("%w: %w", ErrDraining, context.Cause(ctx))
	}
	r.Health.drain(why)
	r.Logger.Info("draining", "cause", why, "ready_delay", r.ReadyDelay, "drain_timeout", r.DrainTimeout)

	delay := time.NewTimer(r.ReadyDelay)
	defer delay.Stop()
	select {
	case err := <-r.ended:
		return r.close(work, why.Error(), err)
	case s := <-r.signals:
		return r.interrupted(s)
	case <-delay.C:
	}
	end(why)
	timeout := time.NewTimer(r.DrainTimeout)
	defer timeout.Stop()
	select {
	case err := <-r.ended:
		return r.close(work, why.Error(), err)
	case s := <-r.signals:
		return r.interrupted(s)
	case <-timeout.C:
		return r.end(ExitOverran, fmt.Sprintf("the work went on %v after it was told to stop (%v)", r.DrainTimeout, why), nil)
	}
}

// close closes the stores after the work has returned, and judges that.
func (r *run) close(work context.Context, why string, err error) int {
	code := judge(work, err)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, c := range r.Close {
			if err := catch(c.Close); err != nil {
				r.Logger.Warn("could not close", brief(err)...)
			}
		}
	}()
	timeout := time.NewTimer(r.CloseTimeout)
	defer timeout.Stop()
	for {
		select {
		case s := <-r.signals:
			if !r.told {
				r.told = true // the first: all there is to do is under way
				continue
			}
			if code == ExitClean {
				return r.interrupted(s)
			}
			// What the work failed with says more.
		case <-timeout.C:
			r.Logger.Warn("could not close in time", "close_timeout", r.CloseTimeout)
		case <-closed:
		}
		return r.end(code, why, err)
	}
}

// judge returns the exit code for what the work returned.
func judge(work context.Context, err error) int {
	var p *PanicError
	switch {
	case err == nil:
		return ExitClean
	case errors.Is(err, ErrGaveUp):
		return ExitGaveUp
	case errors.As(err, &p):
		return ExitFailed
	case work.Err() != nil && (errors.Is(err, ErrDraining) || errors.Is(err, context.Canceled)):
		return ExitClean
	default:
		return ExitFailed
	}
}

func (r *run) interrupted(s os.Signal) int {
	return r.end(ExitInterrupted, "a second signal: "+s.String(), nil)
}

// end writes the one line.
func (r *run) end(code int, why string, err error) int {
	level := slog.LevelError
	if code == ExitClean {
		level = slog.LevelInfo
	}
	attrs := []any{"code", code, "meaning", meaning[code], "why", why, "ran", time.Since(r.began)}
	if err != nil {
		attrs = append(attrs, brief(err)...)
	}
	r.Logger.Log(context.Background(), level, "exit", attrs...)
	return code
}

var meaning = map[int]string{
	ExitClean:       "clean",
	ExitFailed:      "failed",
	ExitOverran:     "drain overran",
	ExitGaveUp:      "gave up",
	ExitInterrupted: "interrupted",
}
