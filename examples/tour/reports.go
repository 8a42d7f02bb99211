package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/restart"
)

// awaitLeader waits for the next leader, and for some writes of it.
func (s *stage) awaitLeader(ctx context.Context) error {
	r, err := s.await(ctx, "a leader", func(r reported) bool { return r.Kind == leading })
	if err != nil {
		return err
	}
	s.leader, s.term, s.since = r.from, r.Term, time.Now()
	n := 0
	_, err = s.await(ctx, "items of the leader", func(r reported) bool {
		if r.Kind == saved && r.from == s.leader {
			n++
		}
		return n == 10
	})
	return err
}

// awaitQueue waits until n processes campaign: one leads, the others wait in line.
func (s *stage) awaitQueue(ctx context.Context, n int) error {
	w, err := s.store.Watch(driver.Dir("election/leader/queue"))
	if err != nil {
		return err
	}
	defer w.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, s.patience(), errors.New("not all workers joined in time"))
	defer cancel()
	for {
		if err := w.Next(ctx); err != nil {
			return err
		}
		if len(w.Entries(0)) == n-1 {
			s.line.say("tour", "%d wait in line, each for the one ahead of it", n-1)
			return nil
		}
	}
}

// await passes on what workers report until one report is what is waited for.
func (s *stage) await(ctx context.Context, what string, is func(reported) bool) (reported, error) {
	timer := time.NewTimer(s.patience())
	defer timer.Stop()
	for {
		select {
		case r := <-s.reports:
			if err := s.tell(r); err != nil {
				return r, err
			}
			if is(r) {
				return r, nil
			}
		case <-ctx.Done():
			return reported{}, context.Cause(ctx)
		case <-timer.C:
			return reported{}, fmt.Errorf("waited %v for %s", s.patience(), what)
		}
	}
}

// patience is more than any store takes to give up on a process.
func (s *stage) patience() time.Duration { return 3*s.ttl + 10*time.Second }

// awaitSeen waits until all others that run see a worker in a state, and
// returns when the last of them began to.
func (s *stage) awaitSeen(ctx context.Context, w *worker, state string) (time.Time, error) {
	var last time.Time
	all := func() bool {
		return !slices.ContainsFunc(s.present(w), func(other *worker) bool {
			seen := other.sees[w.id]
			if seen.at.After(last) {
				last = seen.at
			}
			return seen.state != state
		})
	}
	if all() {
		return last, nil
	}
	_, err := s.await(ctx, fmt.Sprintf("all others to see %s %s", w.id, state), func(reported) bool { return all() })
	return last, err
}

// awaitDrained waits for the end of a worker that was asked to end, and fails
// if it did not end as it should.
func (s *stage) awaitDrained(ctx context.Context, w *worker) error {
	for !w.exited {
		if _, err := s.await(ctx, "the end of "+w.id, func(r reported) bool { return r.Kind == exited }); err != nil {
			return err
		}
	}
	if code := w.cmd.ProcessState.ExitCode(); code != restart.ExitClean {
		return fmt.Errorf("%s has ended with code %d", w.id, code)
	}
	return nil
}

// present returns the workers whose processes are there, except one.
func (s *stage) present(except *worker) []*worker {
	return slices.DeleteFunc(slices.Clone(s.workers), func(w *worker) bool { return w.exited || w == except })
}

// tell takes note of a report, prints what a reader wants to know, and fails on
// what must not be.
func (s *stage) tell(r reported) error {
	switch r.Kind {
	case leading:
		s.line.say(r.from.id, "leads, term %d", r.Term)
		s.tenures[r.Term] = &tenure{from: r.At}
		if r.Term <= s.term {
			return fmt.Errorf("term %d after %d", r.Term, s.term)
		}
	case trusted:
		s.tenures[r.Term].until = r.At
	case resumed:
		s.line.say(r.from.id, "begins with item %d: the checkpoint says that %d are done", r.N+1, r.N)
		s.tenures[r.Term].begin, s.tenures[r.Term].done = r.N, r.N
	case saved:
		t := s.tenures[r.Term]
		if t.done++; t.done != r.N {
			return fmt.Errorf("item %d was saved where item %d was due", r.N, t.done)
		}
	case ended:
		s.line.say(r.from.id, "term %d is over: %s", r.Term, r.Text)
	case refused:
		s.line.say(r.from.id, "its write under term %d was refused: %s", r.Term, r.Text)
	case applied:
		return fmt.Errorf("item %d was done under the old term %d", r.N, r.Term)
	case adding:
		r.from.begun = r.N
	case added:
		r.from.counted = r.N
	case works, rests:
		return s.noteSlot(r)
	case saw:
		r.from.sees[r.Peer] = sighting{r.Text, time.Now()}
	case exited:
		r.from.exited = true
		s.line.say(r.from.id, "its process has ended: %s", r.Text)
	case failed:
		return fmt.Errorf("%s: %s", r.from.id, r.Text)
	}
	return nil
}
