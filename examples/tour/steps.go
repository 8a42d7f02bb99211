package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// elect starts the workers; the first to join leads.
func (s *stage) elect(ctx context.Context) error {
	for i := range 4 {
		if _, err := s.start(fmt.Sprintf("worker-%d", i+1)); err != nil {
			return err
		}
	}
	if err := s.awaitLeader(ctx); err != nil {
		return err
	}
	if err := s.awaitQueue(ctx, len(s.workers)); err != nil {
		return err
	}
	for _, w := range s.workers {
		if _, err := s.awaitSeen(ctx, w, joined); err != nil {
			return err
		}
	}
	s.line.say("tour", "each of the %d sees the others, and all add to one counter", len(s.workers))
	return s.awaitShared(ctx)
}

// crash kills the leader, in the middle of an add.
func (s *stage) crash(ctx context.Context) error {
	dead := s.leader
	r, err := s.await(ctx, "an add of the leader", func(r reported) bool { return r.from == dead && r.Kind == adding })
	if err != nil {
		return err
	}
	killed := time.Now()
	if err := dead.signal(syscall.SIGKILL); err != nil {
		return err
	}
	s.line.say("tour", "kill -9 %s, which had just begun to add %d", dead.id, r.N)
	if err := s.awaitLeader(ctx); err != nil {
		return err
	}
	s.line.say("tour", "%.1f s without a leader: the store waited for the dead one", s.since.Sub(killed).Seconds())
	seen, err := s.awaitSeen(ctx, dead, gone)
	if err != nil {
		return err
	}
	s.line.say("tour", "all others see %s gone, after %.1f s", dead.id, seen.Sub(killed).Seconds())
	return s.awaitShared(ctx)
}

// pause stops the leader for longer than the store waits.
func (s *stage) pause(ctx context.Context) error {
	old, term := s.leader, s.term
	s.line.say("tour", "%s stands still from now on (SIGSTOP)", old.id)
	if err := old.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := s.awaitLeader(ctx); err != nil {
		return err
	}
	if _, err := s.awaitSeen(ctx, old, gone); err != nil {
		return err
	}
	s.line.say("tour", "%s goes on (SIGCONT), still in the middle of term %d", old.id, term)
	if err := old.signal(syscall.SIGCONT); err != nil {
		return err
	}
	if _, err := s.await(ctx, "the old leader's item is refused", func(r reported) bool {
		return r.from == old && r.Term == term && r.Kind == refused
	}); err != nil {
		return err
	}
	if _, err := s.awaitSeen(ctx, old, returned); err != nil {
		return err
	}
	s.line.say("tour", "all others see %s %s", old.id, returned)
	return s.awaitShared(ctx)
}

// leave asks the leader to end, and starts it again, as an update of the
// service would.
func (s *stage) leave(ctx context.Context) error {
	old := s.leader
	s.line.say("tour", "%s is asked to leave (SIGTERM)", old.id)
	asked := time.Now()
	if err := old.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.awaitLeader(ctx); err != nil {
		return err
	}
	s.line.say("tour", "%.0f ms from the request to the next leader", s.since.Sub(asked).Seconds()*1000)
	seen, err := s.awaitSeen(ctx, old, gone)
	if err != nil {
		return err
	}
	s.line.say("tour", "all others see %s gone, after %.0f ms", old.id, seen.Sub(asked).Seconds()*1000)
	if err := s.awaitDrained(ctx, old); err != nil {
		return err
	}
	again, err := s.start(old.id)
	if err != nil {
		return err
	}
	if _, err := s.awaitSeen(ctx, again, restarted); err != nil {
		return err
	}
	s.line.say("tour", "all others see %s %s", again.id, restarted)
	return s.awaitShared(ctx)
}

// stop asks all workers to end, the leader last so that no other begins to
// lead.
func (s *stage) stop(ctx context.Context) error {
	for _, w := range s.present(s.leader) {
		if err := w.signal(syscall.SIGTERM); err != nil {
			return err
		}
		if err := s.awaitDrained(ctx, w); err != nil {
			return err
		}
	}
	if err := s.leader.signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.awaitDrained(ctx, s.leader)
}
