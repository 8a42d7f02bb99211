package office

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/trust"
)

// targets are what shows the tenure: the directory, or of an office with seats
// the two keys that prove it, so that the other holders do not wake this one.
func (t *Tenure) targets() []backend.Target {
	if !t.office.keys.seats {
		return []backend.Target{backend.Dir(t.office.keys.tenure)}
	}
	return []backend.Target{backend.Key(t.hold.leader.Key), backend.Key(t.hold.mark.Key)}
}

// watch ends the tenure when the store says that it is over, though the session
// is not: keys deleted by hand, a wipe, a restore.
func (t *Tenure) watch() {
	targets := t.targets()
	w, err := t.office.store.Watch(targets...)
	if err != nil {
		t.lose(err)
		return
	}
	defer w.Close()
	for {
		if err = w.Next(t.ctx); t.ctx.Err() != nil {
			return
		}
		if err == nil {
			var entries []backend.Entry
			for i := range targets {
				entries = append(entries, w.Entries(i)...)
			}
			v := t.office.viewOf(entries)
			if err = t.compare(v); v.order.priorities {
				t.yielding.Do(func() { t.upkeep.Go(t.yield) })
			}
		}
		if err != nil {
			t.lose(err)
			return
		}
	}
}

// compare says what is wrong with the tenure as the store shows it, and
// otherwise takes note of the versions there.
func (t *Tenure) compare(v view) error {
	own := t.hold.tenureID
	v.grow(t.hold.seat + 1)
	s := &v.seats[t.hold.seat]
	m, marked := s.find(markName{tenureID: own})
	switch {
	case !s.leader.exists:
		return errors.New("the leader key is gone")
	case s.leader.err != nil:
		return s.leader.err
	case s.leader.doc.tenureID != own:
		return errors.New("the leader key is another's")
	case !marked:
		return errors.New("the mark of the tenure is gone")
	case s.number() > own.Number:
		return fmt.Errorf("the number %d is known to the store", s.number())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hold.leader.Version, t.hold.mark.Version = s.leader.entry.Version, m.entry.Version
	if !t.office.keys.seats {
		spare, _ := s.find(markName{tenureID: own, spare: true})
		t.hold.spare = spare.entry.Version
	}
	return nil
}

// span is how long a look at the own leader key is good for under Strict: a
// successor that sees the key gone later than that look waits a whole TTL from
// then.
func (t *Tenure) span() time.Duration { return t.session.TTL() - t.session.Margin() }

// confirmRegularly keeps the window of a Strict holder open.
func (t *Tenure) confirmRegularly() {
	span := t.span()
	next := span / 3
	for backend.Sleep(t.ctx, next) == nil {
		start := trust.Now()
		ctx, cancel := context.WithTimeout(t.ctx, span/4)
		err := t.confirm(ctx)
		cancel()
		if err == nil && t.window.Extend(start, start.Add(span)) {
			next = span/3 - trust.Now().Sub(start)
			continue
		}
		next = rand.N(span / 16)
	}
}

// overruns reports, from the end of the tenure's context until stop is called,
// that the body has not returned: first when the margin is over in which it has
// to stop, then each TTL.
func (t *Tenure) overruns() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	finished := make(chan struct{})
	unstarted := context.AfterFunc(t.ctx, func() {
		defer close(finished)
		began := time.Now()
		for wait := t.session.Margin(); backend.Sleep(ctx, wait) == nil; wait = t.session.TTL() {
			t.reportOverrun(time.Since(began))
		}
	})
	return func() {
		cancel()
		if !unstarted() {
			<-finished
		}
	}
}

func (t *Tenure) reportOverrun(since time.Duration) {
	of, cause := t.office.Subject(), t.causeOfEnd()
	t.office.store.Logger().Warn("the body has not returned although its context has ended", "kind", of.Kind, "name", of.Name, "token", t.Number(), "for", since, "cause", cause)
	t.trace.Overran(cause, since)
}
