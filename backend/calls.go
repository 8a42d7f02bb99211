package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// errCallTimeout is the cause with which a call's context ends when it has
// used up Options.CallTimeout.
var errCallTimeout = errors.New("the store did not answer within Options.CallTimeout")

// Read reads the targets in the order given and returns, for each, its entries
// by key. Each read is linearizable and takes effect no earlier than the one
// before it. It is tried again while the store is unavailable, until ctx ends
// or Options.CallTimeout has passed; then the error is ErrUnavailable and says
// why. Other errors: ErrDenied, ErrInvalid, ErrClosed.
func (s *Store) Read(ctx context.Context, targets ...Target) ([][]Entry, error) {
	full := s.fullTargets(targets)
	var read [][]Entry
	// An attempt has a third of the time, so that a server that is silent
	// leaves time to ask another.
	err := s.call(ctx, s.opts.CallTimeout/3, func(ctx context.Context) error {
		var err error
		read, err = s.driver.Read(ctx, full...)
		return err
	}, func(err error) bool { return !permanent(err) })
	if err != nil {
		if !permanent(err) && !errors.Is(err, ErrUnavailable) {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil, fmt.Errorf("read: %w", err)
	}
	for _, entries := range read {
		s.strip(entries)
	}
	return read, nil
}

// Get reads one key; found is false if it is absent. It is like Read in all
// else.
func (s *Store) Get(ctx context.Context, key string) (entry Entry, found bool, err error) {
	read, err := s.Read(ctx, Target{Path: key})
	if err != nil || len(read[0]) == 0 {
		return Entry{}, false, err
	}
	return read[0][0], true, nil
}

// Commit applies txn if its conditions hold and the ownership of every guard
// continues.
//
// A nil error means that the outcome is known: see Result.Applied. ErrFenced
// means that an ownership is over, and that nothing was applied.
// ErrIndeterminate means that the commit was sent and may be applied at any
// time. The Store never sends it again. A caller that repeats it must make sure
// that the two cannot both take effect. ErrUnavailable means that it was not
// applied, and the Store has tried until ctx ended or Options.CallTimeout
// passed. ErrSessionLost means that the lease it names is gone; a session of
// this Store with that lease is over. Other errors: ErrDenied, ErrTooLarge,
// ErrInvalid, ErrClosed; nothing was applied.
//
// If a commit is refused because guarded keys have other versions, and the
// ownerships continue, it is sent again with the new versions.
func (s *Store) Commit(ctx context.Context, txn Txn, guards ...Guard) (Result, error) {
	if len(guards) == 0 {
		return s.commit(ctx, txn)
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	for {
		guarded, sent, agree, err := s.guarded(txn, guards)
		if err != nil {
			return Result{}, fmt.Errorf("commit: %w", err)
		}
		if !agree {
			if _, err := s.refreshGuards(ctx, guards, sent, nil); err != nil {
				return Result{}, err
			}
			continue
		}
		result, err := s.commit(ctx, guarded)
		if err != nil || result.Applied {
			if result.Applied {
				result.Versions = result.Versions[:len(txn.Ops)]
			}
			return result, err
		}
		again, err := s.refreshGuards(ctx, guards, sent, result.Current)
		if err != nil || !again {
			return result, err
		}
	}
}

func (s *Store) commit(ctx context.Context, txn Txn) (Result, error) {
	full := s.fullTxn(txn)
	var result Result
	err := s.call(ctx, s.opts.CallTimeout, func(ctx context.Context) error {
		var err error
		result, err = s.driver.Commit(ctx, full)
		if err != nil && !permanent(err) && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrIndeterminate) {
			err = fmt.Errorf("%w: %w", ErrIndeterminate, err) // an error of no known class leaves the outcome open
		}
		return err
	}, func(err error) bool {
		return errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrIndeterminate) && !permanent(err)
	})
	switch {
	case err == nil:
		return s.stripResult(result), nil
	case errors.Is(err, ErrSessionLost):
		s.sessions.lost(txn.Lease, err)
	case errors.Is(err, ErrIndeterminate):
		s.traceIndeterminate(txn, err)
	}
	return Result{}, fmt.Errorf("commit: %w", err)
}

func (s *Store) traceIndeterminate(txn Txn, err error) {
	keys := make([]string, len(txn.Ops))
	for i, op := range txn.Ops {
		keys[i] = op.Key
	}
	s.opts.Logger.Debug("commit outcome unknown", "keys", keys, "error", err)
	if f := s.opts.Trace.CommitIndeterminate; f != nil {
		f(CommitIndeterminate{Keys: keys, Err: err})
	}
}

// call runs one logical call: bounded by ctx, by Options.CallTimeout and by the
// life of the Store, each attempt by attemptTimeout, tried again after a short
// pause while again allows it.
func (s *Store) call(ctx context.Context, attemptTimeout time.Duration, do func(context.Context) error, again func(error) bool) error {
	if s.life.Err() != nil {
		return ErrClosed
	}
	ctx, cancel := s.bound(driver.InTurn(ctx))
	defer cancel()
	for attempt := 0; ; attempt++ {
		try, done := context.WithTimeout(ctx, attemptTimeout)
		err := s.paced(try, do)
		done()
		if err == nil {
			s.served.Store(true)
			return nil
		}
		if ctx.Err() != nil || !again(err) || Sleep(ctx, fullJitter(attempt, 20*time.Millisecond, time.Second)) != nil {
			return s.ended(ctx, err)
		}
	}
}

// ended returns the error of a call that is not made again. Once Close has begun
// that is ErrClosed, whatever else has ended and whatever the store could not
// do, and ErrIndeterminate besides for a commit in doubt.
func (s *Store) ended(ctx context.Context, err error) error {
	switch {
	case s.life.Err() == nil:
		return withCause(ctx, err)
	case errors.Is(err, ErrIndeterminate):
		return fmt.Errorf("%w: %w", err, ErrClosed)
	case permanent(err):
		return err
	}
	return ErrClosed
}

// bound returns a context that ends with ctx, with the Store, and when
// Options.CallTimeout has passed.
func (s *Store) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancelTimeout := context.WithTimeoutCause(ctx, s.opts.CallTimeout, errCallTimeout)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		cancelTimeout()
	}
}
