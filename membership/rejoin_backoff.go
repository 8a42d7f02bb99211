package membership

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
)

// rejoinBackoff says when a member that has lost its entry registers again.
//
// After an outage all have lost their sessions, and come back at one time. Who
// can tell that nobody misses it takes its time: a moment in its share of most of a
// TTL, counted from the return of the store, or another if many have just come.
// That is so while its old entry still stands, as it does after an outage: an
// entry has its full TTL from the return of the store; and when more than half
// have gone with it, as after a wipe: they are held in the views. Who alone has
// lost its entry comes back at once.
type rejoinBackoff struct {
	lost   *Entry
	began  time.Time // when it was lost
	others int       // how many were shown beside it
	place  float64   // among them, by a hash of the ID: from 0 to 1
	due    time.Time // zero until it is drawn
	gone   bool      // the entry has been seen to be gone,
	alone  bool      // while at least half of the others were there
	taken  time.Time // when it was due and the member could register
}

// newBackoff is called when an Entry is over. It returns nil if nobody else can
// have lost one for the same reason.
func (r *Registration) newBackoff(lost *Entry) *rejoinBackoff {
	if errors.Is(context.Cause(lost.ctx), errReplaced) {
		return nil
	}
	g := r.group
	g.mu.Lock()
	defer g.mu.Unlock()
	n, before := len(g.roster.shown), 0
	own := weight(r.doc.ID, g.name)
	for i := range g.roster.shown {
		if weight(g.roster.shown[i].ID, g.name) < own {
			before++
		}
	}
	return &rejoinBackoff{
		lost: lost, began: time.Now(), others: max(n-1, 0),
		place: (float64(before) + rand.Float64()) / float64(max(n, before+1)),
	}
}

// look takes note of what a state says.
func (b *rejoinBackoff) look(st *state) {
	if !b.gone && st.number > b.lost.since && st.records[b.lost.Registration] == nil {
		b.gone, b.alone = true, 2*len(st.holders) >= b.others
	}
}

// draw sets when it is due, before end: first at the member's place in spread,
// so that of many each second gets as many, and if that has passed, or the
// second is crowded all the same, at random.
func (b *rejoinBackoff) draw(now, end time.Time, spread time.Duration) {
	first := b.due.IsZero()
	if b.due = end.Add(-time.Duration((1 - b.place) * float64(spread))); !first || !now.Before(b.due) {
		b.due = now.Add(time.Millisecond + rand.N(max(end.Sub(now), 1)))
	}
}

// await waits until it is due. It reports false if the session is over, or the
// membership.
func (r *Registration) await(b *rejoinBackoff, session *backend.Session) bool {
	spread := session.TTL() * 17 / 20
	if time.Since(b.taken) < spread {
		return session.Valid() // it was, but the session turned out to be gone
	}
	end := b.began.Add(spread)
	switch up, since := r.group.watching(); {
	case !up:
		end = time.Now().Add(spread)
	case since.After(b.began):
		end = since.Add(spread)
	}
	if now := time.Now(); b.due.Before(now) {
		b.draw(now, end, spread)
	}
	for {
		st, news := r.group.present()
		now := time.Now()
		if up, _ := r.group.watching(); up {
			b.look(st)
		}
		if r.life.Err() != nil || !session.Valid() {
			return false
		}
		if b.alone || !now.Before(b.due) && (!r.group.crowded(now) || !now.Before(end)) {
			b.taken = now
			return true
		}
		if !now.Before(b.due) {
			b.draw(now, end, spread)
		}
		timer := time.NewTimer(b.due.Sub(now))
		select {
		case <-news:
		case <-timer.C:
		case <-session.Context().Done():
		case <-r.life.Done():
		}
		timer.Stop()
	}
}

func (g *Group) watching() (up bool, since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.watcher.Up()
}

// crowdedShare is the share of the members of which no more should register
// within a second.
const crowdedShare = 6

// arrivals is how many registrations were first seen at an instant.
type arrivals struct {
	at time.Time
	n  int
}

// noteArrivals remembers the arrivals of the last second; g.mu is held.
func (g *Group) noteArrivals(last *state, now time.Time) {
	g.arrived = slices.DeleteFunc(g.arrived, func(a arrivals) bool { return now.Sub(a.at) > time.Second })
	n := 0
	for name, r := range g.state.records {
		if !r.left && last.records[name] == nil {
			n++
		}
	}
	if n > 0 && last.number > 0 {
		g.arrived = append(g.arrived, arrivals{now, n})
	}
}

// crowded reports whether so many have registered within the last second that
// one more should wait.
func (g *Group) crowded(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, a := range g.arrived {
		if now.Sub(a.at) <= time.Second {
			n += a.n
		}
	}
	return n > len(g.roster.shown)/crowdedShare && n > crowdedShare
}
