package membership

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
)

// gather is the shortest time between two views: what comes meanwhile is seen
// together. The first news after a quiet time is seen at once.
const gather = 200 * time.Millisecond

// sessionPause is the time between two requests for a session that was refused.
const sessionPause = time.Minute

var errTick = errors.New("time to look at who is held")

// follow takes over what the watch delivers until the group ends.
func (g *Group) follow() {
	defer func() { g.watcher.Close() }()
	var last time.Time // when something was taken over
	for {
		news, err := g.next(last.Add(gather))
		if err != nil && g.life.Err() == nil && !errors.Is(err, backend.ErrClosed) {
			g.store.Logger().Error("membership cannot be followed", "group", g.name, "error", err)
			if err = g.refuse(err); err == nil {
				continue
			}
		}
		if err != nil {
			g.end(err)
			return
		}
		last = time.Now()
		if news {
			g.apply(g.watcher.Entries(0), last)
		} else {
			g.tick(last)
		}
	}
}

// refuse ends what the store will not have: the memberships, the streams of
// views and the waits for the first. It returns nil once somebody uses the group
// again, with another watch; an error is for good.
func (g *Group) refuse(err error) error {
	g.mu.Lock()
	g.watcher.Close()
	g.refusals, g.refused, g.idle, g.synced = g.refusals+1, err, true, false
	for _, r := range g.mine {
		r.finish(err)
	}
	g.broadcast()
	g.mu.Unlock()
	select {
	case <-g.resume:
	case <-g.life.Done():
		return context.Cause(g.life)
	}
	watcher, err := g.store.Watch(backend.Dir(g.dir))
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watcher = watcher
	return nil
}

// refusedSince returns why the store would not have the group followed any more
// since there were so many refusals; nil if it was. g.mu is held.
func (g *Group) refusedSince(refusals int) error {
	if g.refusals == refusals {
		return nil
	}
	return g.refused
}

// next waits for news, and until an instant at the least, or until somebody
// need not be held any longer.
func (g *Group) next(atLeast time.Time) (news bool, err error) {
	for {
		g.mu.Lock()
		wake := g.roster.due()
		g.mu.Unlock()
		switch now := time.Now(); {
		case now.Before(atLeast):
			wake = atLeast
		case news:
			return true, nil
		case !wake.IsZero() && !now.Before(wake):
			return false, nil
		}
		ctx, cancel := g.life, func() {}
		if !wake.IsZero() {
			ctx, cancel = context.WithTimeoutCause(g.life, time.Until(wake), errTick)
		}
		err = g.watcher.Next(ctx)
		cancel()
		switch {
		case err == nil:
			news = true
		case !errors.Is(err, errTick):
			return false, err
		}
	}
}

// apply takes over a state of the directory.
func (g *Group) apply(entries []backend.Entry, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := g.state
	g.state = newState(last, g.dir, entries, now, func(err error) {
		g.store.Logger().Warn("membership: an entry cannot be read and is left out", "group", g.name, "error", err)
	})
	if _, since := g.watcher.Up(); last.number > 0 && since.After(last.at) {
		g.roster.again(now)
	}
	g.noteArrivals(last, now)
	g.reportOrphans()
	g.heard = now
	g.synced = true
	g.show(g.roster.update(g.state, now))
	g.broadcast()
}

// tick lets go of who has been held for long enough, unless the store is away,
// or was until now: then nobody can come back.
func (g *Group) tick(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if up, _ := g.watcher.Up(); !up || g.roster.away || g.view(now).Stale {
		g.roster.again(now)
		return
	}
	g.show(g.roster.update(g.state, now))
	g.broadcast()
}

// show takes note of a new view, if it is one; g.mu is held.
func (g *Group) show(members []Member, preserving bool) {
	if preserving {
		g.store.Logger().Warn("more than half of the members vanished without leaving, they are held", "group", g.name, "held", View{Members: members}.Held(), "members", len(members))
	}
	if slices.EqualFunc(g.roster.shown, members, same) && g.number > 0 {
		return
	}
	g.roster.shown = members
	g.number++
	select {
	case g.saves <- struct{}{}:
	default:
	}
}

// same reports whether two members are told apart by nothing that users see.
func same(a, b Member) bool {
	return a.ID == b.ID && a.Registration == b.Registration && a.Incarnation == b.Incarnation &&
		a.update == b.update && a.Held == b.Held
}

// keepSession knows the Store's session, whose renewals tell that the store
// answers, for as long as the group lasts.
func (g *Group) keepSession() {
	open, without := g.openSession, 0 // refusals in a row
	for g.life.Err() == nil {
		session, err := open(g.life)
		g.mu.Lock()
		g.session = session // nil after a refusal: the watch alone tells then
		if g.roster.away {
			g.roster.found(time.Now(), g.ttl())
		}
		g.broadcast()
		g.mu.Unlock()
		if err != nil {
			if g.life.Err() != nil || errors.Is(err, backend.ErrClosed) {
				return
			}
			// A process that may only read can still watch. It asks again now and
			// then, since permissions are given back.
			if without == 0 {
				g.store.Logger().Warn("membership goes without a session", "group", g.name, "error", err)
			}
			without++
			open = g.store.Session
			_ = backend.Sleep(g.life, sessionPause)
			continue
		}
		open, without = g.openSession, 0
		select {
		case <-session.Context().Done():
			g.mu.Lock()
			g.hear(time.Now().Add(-(session.TTL() - session.Margin())))
			g.roster.away = true
			g.broadcast()
			g.mu.Unlock()
		case <-g.life.Done():
		}
	}
}

func (g *Group) openSession(ctx context.Context) (session *backend.Session, err error) {
	err = g.store.Retry(ctx, g.subject(), "open session", func(ctx context.Context) error {
		session, err = g.store.Session(ctx)
		return err
	})
	return session, err
}

// hear takes note that the store answered at an instant; g.mu is held.
func (g *Group) hear(at time.Time) {
	if at.After(g.heard) {
		g.heard = at
	}
}

// asOf returns when the view was last known to be what the store shows: when
// the watch delivered something, or later, when the store answered a renewal
// while the watch was not known to be down. g.mu is held.
func (g *Group) asOf(now time.Time) time.Time {
	if !g.synced || g.watcher == nil {
		return g.loaded
	}
	up, since := g.watcher.Up()
	answered := now // without a session there is the watch alone
	if s := g.session; s != nil {
		answered = g.heard
		if s.Valid() {
			answered = now.Add(s.TrustLeft() - (s.TTL() - s.Margin()))
		}
	}
	if !up && since.Before(answered) {
		answered = since
	}
	g.hear(answered)
	return g.heard
}

// ttl is how old a view may be that is not stale; g.mu is held.
func (g *Group) ttl() time.Duration {
	if g.session != nil {
		return g.session.TTL()
	}
	return backend.DefaultTTL
}
