package election

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/trust"
)

// watch ends the leadership when the store says that it is over, though the
// session is not: keys deleted by hand, a wipe, a restore.
func (l *Leadership) watch() {
	k := l.election.keys
	w, err := l.election.store.Watch(driver.Key(k.office), driver.Key(k.mark(l.hold.tenure)), driver.Key(k.term))
	if err != nil {
		l.lose(err)
		return
	}
	defer w.Close()
	for {
		if err = w.Next(l.ctx); err == nil {
			err = l.compare(w.Entries(0), w.Entries(1), w.Entries(2))
		}
		if err != nil {
			l.lose(err) // no more than a word if the context has ended already
			return
		}
	}
}

// compare says what is wrong with the tenure as the store shows it, and
// otherwise takes note of the versions there.
func (l *Leadership) compare(office, mark, term []backend.Entry) error {
	switch {
	case len(office) == 0:
		return errors.New("the office is gone")
	case !l.holds(office[0]):
		return errors.New("the office is another's")
	case len(mark) == 0:
		return errors.New("the mark of the tenure is gone")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold.office.Version, l.hold.mark.Version = office[0].Version, mark[0].Version
	if len(term) == 0 {
		return nil // deleted by hand; the mark has the number too
	}
	var doc termDocument
	if err := decode(term[0], &doc); err != nil {
		return err
	}
	l.election.see(doc.tenure)
	if doc.Number > l.hold.Number {
		return fmt.Errorf("term %d is known to the store", doc.Number)
	}
	if doc.tenure == l.hold.tenure {
		l.hold.term = term[0].Version
	}
	return nil
}

// span is how long a look at the own office is good for under Strict: whoever
// sees the office vacant later than that look waits a whole TTL from then.
func (l *Leadership) span() time.Duration { return l.session.TTL() - l.session.Margin() }

// confirmRegularly keeps the window of a Strict leader open.
func (l *Leadership) confirmRegularly() {
	span := l.span()
	next := span / 3
	for pause(l.ctx, next) == nil {
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
