package backend

import (
	"context"
	"errors"
	"fmt"
)

// CleanUp is RetryUnder for an operation that deletes keys which session owns.
// If the store refuses it for half a TTL, the session ends as if it were lost.
// Its keys go with it, and everything else that it owned ends. The Store opens
// another session when one is needed. If ctx ends earlier, the session stays.
func (s *Store) CleanUp(ctx context.Context, session *Session, of Subject, operation Operation, fn func(context.Context) error) error {
	err := s.retry(ctx, of, operation, session.TTL()/2, fn)
	if errors.Is(err, ErrDenied) && ctx.Err() == nil {
		s.EndSession(session, fmt.Errorf("%s of %v was refused: %w", string(operation), of, err))
	}
	return err
}

// CleanUpInBackground is CleanUp on a goroutine of its own. It ends with the
// session at the latest: the keys that fn would delete go with that. Then it
// calls done with the outcome.
func (s *Store) CleanUpInBackground(session *Session, of Subject, fn func(context.Context) error, done func(error)) {
	run := func() {
		err := s.CleanUp(session.Context(), session, of, "clean up", fn)
		if err != nil && session.Context().Err() == nil {
			s.opts.Logger.Warn("keys were not cleaned up", "kind", of.Kind, "name", of.Name, "error", err)
		}
		done(err)
	}
	if !s.background.Go(run) {
		done(ErrClosed)
	}
}

// EndSession ends a session as if it were lost: the contexts of all that it
// owns end, and its lease is revoked once they have stopped. Use it when keys
// of the session block others and cannot be deleted one by one.
func (s *Store) EndSession(session *Session, why error) {
	session.over(fmt.Errorf("%w: ended by this process: %w", ErrSessionLost, why))
}
