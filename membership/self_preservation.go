package membership

import (
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
)

// roster is who is shown: who is in the store, and who has vanished from it
// without leaving but is held for now.
//
// Each is held for a little while (a tenth of its TTL, 0.6 s at least): a member
// whose session was lost registers again at once, and that is not worth a word.
// When this process's own session was lost, others may have lost theirs for the
// same reason, and all who are missing are held until they have had a TTL to
// come back. When more than half have vanished within a TTL, something has
// befallen the store or the way to it rather than the members, and they are held
// for the grace period, if that is longer.
type roster struct {
	grace  time.Duration // Options.GracePeriod
	shown  []Member      // by ID
	absent map[string]*absence
	gone   []departure // who was let go lately without having left
	away   bool        // this process has lost its session and has no other yet
	calm   time.Time   // when it will have had another for a TTL, after a loss
}

// absence is of a member that is held.
type absence struct {
	since, until time.Time
	preserved    bool // by the grace period
}

type departure struct {
	id string
	at time.Time
}

// due returns when the next need not be held any longer, zero if nobody is.
func (r *roster) due() (first time.Time) {
	for _, a := range r.absent {
		if first.IsZero() || a.until.Before(first) {
			first = a.until
		}
	}
	return first
}

// update returns who is to be shown, given a state, and whether the grace
// period has just begun for somebody.
func (r *roster) update(s *state, now time.Time) (members []Member, preserving bool) {
	members = s.members()
	present := len(members)
	absent := make(map[string]*absence)
	for _, m := range r.shown {
		if s.holders[m.ID] != nil || s.left(&m) {
			continue
		}
		a := r.absent[m.ID]
		if a == nil {
			a = &absence{since: now, until: r.until(m, now)}
		}
		absent[m.ID] = a
		m.Held = true
		members = append(members, m)
	}
	r.absent = absent
	ttl := View{Members: members}.TTL()
	r.gone = slices.DeleteFunc(r.gone, func(d departure) bool {
		return s.holders[d.id] != nil || now.Sub(d.at) > ttl
	})
	if r.grace >= 0 && 2*(len(absent)+len(r.gone)) > len(r.shown)+len(r.gone) {
		for _, a := range absent {
			if !a.preserved {
				a.preserved, preserving = true, true
				a.until = later(a.until, a.since.Add(r.graceOf(ttl)))
			}
		}
	}
	members = slices.DeleteFunc(members, func(m Member) bool {
		a := absent[m.ID]
		if a == nil || r.away || now.Before(a.until) {
			return false
		}
		delete(absent, m.ID)
		r.gone = append(r.gone, departure{m.ID, now})
		return true
	})
	if len(members) > present {
		slices.SortFunc(members, byID)
	}
	return members, preserving
}

// again begins the time of all who are held anew: nobody could come back while
// the store was away.
func (r *roster) again(now time.Time) {
	ttl := View{Members: r.shown}.TTL()
	for _, m := range r.shown {
		if a := r.absent[m.ID]; a != nil {
			a.since, a.until = now, r.until(m, now)
			if a.preserved {
				a.until = later(a.until, now.Add(r.graceOf(ttl)))
			}
		}
	}
}

func (r *roster) graceOf(ttl time.Duration) time.Duration {
	if r.grace > 0 {
		return r.grace
	}
	if ttl == 0 {
		ttl = backend.DefaultTTL
	}
	return 2 * ttl
}

// found takes note that this process, which had lost its session, has another.
func (r *roster) found(now time.Time, ttl time.Duration) {
	r.away, r.calm = false, now.Add(ttl)
	r.again(now)
}

// until returns when a single member, which is missing now, need not be held
// any longer. It has to be longer than a member may take to notice that its
// entry is gone, which its own gathering delays, and what it does about that to
// be seen here, which ours does.
func (r *roster) until(m Member, now time.Time) time.Time {
	return later(r.calm, now.Add(max(m.TTL/10, 3*gather)))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
