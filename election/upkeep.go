package election

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/trust"
)

// watch ends the leadership when the store says that it is over, though the
// session is not: keys deleted by hand, a wipe, a restore.
func (l *Leadership) watch() {
	e := l.election
	w, err := e.store.Watch(backend.Dir(e.keys.tenure))
	if err != nil {
		l.lose(err)
		return
	}
	defer w.Close()
	for {
		if err = w.Next(l.ctx); l.ctx.Err() != nil {
			return
		}
		if err == nil {
			err = l.compare(e.viewOf(w.Entries(0)))
		}
		if err != nil {
			l.lose(err)
			return
		}
	}
}

// compare says what is wrong with the tenure as the store shows it, and
// otherwise takes note of the versions there.
func (l *Leadership) compare(v view) error {
	own := l.hold.tenure
	m, marked := v.find(markName{tenure: own})
	switch {
	case !v.leader.exists:
		return errors.New("the leader key is gone")
	case v.leader.err != nil:
		return v.leader.err
	case v.leader.doc.tenure != own:
		return errors.New("the leader key is another's")
	case !marked:
		return errors.New("the mark of the tenure is gone")
	case v.number() > own.Number:
		return fmt.Errorf("term %d is known to the store", v.number())
	}
	spare, _ := v.find(markName{tenure: own, spare: true})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold.leader.Version, l.hold.mark.Version, l.hold.spare = v.leader.entry.Version, m.entry.Version, spare.entry.Version
	return nil
}

// span is how long a look at the own leader key is good for under Strict: a
// successor that sees the key gone later than that look waits a whole TTL from
// then.
func (l *Leadership) span() time.Duration { return l.session.TTL() - l.session.Margin() }

// confirmRegularly keeps the window of a Strict leader open.
func (l *Leadership) confirmRegularly() {
	span := l.span()
	next := span / 3
	for backend.Sleep(l.ctx, next) == nil {
		start := trust.Now()
		ctx, cancel := context.WithTimeout(l.ctx, span/4)
		err := l.confirm(ctx)
		cancel()
		if err == nil && l.window.Extend(start, start.Add(span)) {
			next = span/3 - trust.Now().Sub(start)
			continue
		}
		next = rand.N(span / 16)
	}
}

// overruns reports, from the end of the leadership's context until stop is
// called, that the body has not returned: first when the margin is over in
// which it has to stop, then each TTL.
func (l *Leadership) overruns() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	finished := make(chan struct{})
	unstarted := context.AfterFunc(l.ctx, func() {
		defer close(finished)
		began := time.Now()
		for wait := l.session.Margin(); backend.Sleep(ctx, wait) == nil; wait = l.session.TTL() {
			l.reportOverrun(time.Since(began))
		}
	})
	return func() {
		cancel()
		if !unstarted() {
			<-finished
		}
	}
}

func (l *Leadership) reportOverrun(since time.Duration) {
	e, cause := l.election, l.causeOfEnd()
	e.store.Logger().Warn("the body has not returned although its context has ended", "election", e.name, "term", l.Term(), "for", since, "cause", cause)
	l.trace.Overran(cause, since)
}
