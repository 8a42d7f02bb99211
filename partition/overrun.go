package partition

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
)

// nag complains, from now until stop is called, each time that the body has not
// returned although its context has ended.
func (s *Slot) nag() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	finished := make(chan struct{})
	unstarted := context.AfterFunc(s.ctx, func() {
		defer close(finished)
		began := time.Now()
		for first := true; backend.Sleep(ctx, s.member.opts.DrainTimeout) == nil; first = false {
			s.complain(time.Since(began))
			if first && s.member.opts.EndOnDrainTimeout {
				close(s.overran)
				s.member.wake()
			}
		}
	})
	return func() {
		cancel()
		if !unstarted() {
			<-finished
		}
	}
}

func (s *Slot) complain(since time.Duration) {
	cause := context.Cause(s.ctx)
	s.member.store.Logger().Error("the body has not returned although its context has ended; the claim is kept, nobody else can run the slot",
		"partition", s.member.name, "slot", s.number, "token", s.token, "for", since, "cause", cause)
	s.trace.Overran(cause, since)
}

// overrun is the error of a Run that ends for bodies that do not return.
func overrun(slots []int) error {
	return fmt.Errorf("%w: slots %v", ErrDrainTimeout, slots)
}

// ending returns why the member is to leave, nil while it is to stay.
func (m *member) ending() error {
	if m.caller.Err() != nil {
		return context.Cause(m.caller)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var stuck []int
	for k, s := range m.slots {
		select {
		case <-s.overran:
			stuck = append(stuck, k)
		default:
		}
	}
	if len(stuck) == 0 {
		return nil
	}
	slices.Sort(stuck)
	return overrun(stuck)
}

// join waits for the bodies, whose contexts have ended, and returns those that
// have overrun, which are left behind.
func (m *member) join() (orphans []int) {
	m.mu.Lock()
	slots := maps.Clone(m.slots) // none begins any more
	m.mu.Unlock()
	for _, s := range slots {
		select {
		case <-s.done:
		case <-s.overran:
		}
	}
	m.mu.Lock()
	for k, s := range slots {
		select {
		case <-s.done:
		default:
			orphans = append(orphans, k)
		}
	}
	m.orphans = len(orphans)
	m.mu.Unlock()
	if len(orphans) == 0 {
		m.bodies.Wait()
	}
	slices.Sort(orphans)
	return orphans
}

// returned takes note that a body has returned for good. If it is the last that
// was left behind the claims are of no use any more.
func (m *member) returned(s *Slot) {
	m.mu.Lock()
	close(s.done)
	orphan := m.orphans > 0
	if orphan {
		m.orphans--
	}
	last := orphan && m.orphans == 0
	m.mu.Unlock()
	if last {
		m.retire(true)
	}
	m.wake()
}

// abandon releases all but what the bodies left behind may be running, and says
// that the member leaves, unless it is expected back. Where the session is over
// all claims went, or go, with it.
func (m *member) abandon() {
	err := m.store.CleanUp(m.session.Context(), m.session, m.subject(), "release slots", func(ctx context.Context) error {
		read, err := m.store.Read(ctx, backend.Key(m.key))
		if err != nil {
			return err
		}
		if err := m.settle(read[0]); err != nil {
			return err
		}
		m.collect()
		next := m.own.claims.clone()
		maps.DeleteFunc(next.slots, func(k int, _ uint64) bool { return !m.runs(k) })
		next.leaving = m.opts.Grace == 0
		if len(next.slots) == len(m.own.claims.slots) && next.leaving == m.own.claims.leaving {
			return nil
		}
		applied, err := m.write(ctx, next)
		if err == nil && !applied {
			err = fmt.Errorf("%w: the claims were changed meanwhile", backend.ErrUnavailable)
		}
		return err
	})
	if err != nil && m.session.Context().Err() == nil {
		m.store.Logger().Warn("slots could not be released", "partition", m.name, "error", err)
	}
}
