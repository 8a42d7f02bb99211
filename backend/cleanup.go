package backend

import "context"

// CleanUp calls fn in the background, as Retry does, until it succeeds or fails
// permanently. It ends with the session at the latest: the keys that fn would
// delete go with that. Then it calls done with the outcome.
func (s *Store) CleanUp(session *Session, of Subject, fn func(context.Context) error, done func(error)) {
	run := func() {
		err := s.Retry(session.Context(), of, "clean up", fn)
		if err != nil && session.Context().Err() == nil {
			s.opts.Logger.Warn("keys were not cleaned up", "kind", of.Kind, "name", of.Name, "error", err)
		}
		done(err)
	}
	if !s.background.Go(run) {
		done(ErrClosed)
	}
}
