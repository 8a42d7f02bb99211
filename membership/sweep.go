package membership

import (
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
)

const (
	// markLife is how long a mark of a Leave is kept, from when it was first
	// seen: as long as it may take somebody to see it. A member then deletes it.
	markLife = 2 * time.Minute
	// sweepPause comes after a sweep that failed, and before the next of marks.
	sweepPause = time.Second
)

// sweep deletes, until the group ends, what nobody else would: entries of this
// process that belong to none of its memberships any more (a creation that
// landed late, an entry that a restore brought back), which would be there as
// long as its session; and its share of the marks that are due.
func (g *Group) sweep() {
	swept := make(map[string]bool) // what the last state showed and is deleted
	for last := uint64(0); ; {
		st, news := g.present()
		if st.number != last {
			clear(swept)
			last = st.number
		}
		due, next := g.due(st, time.Now())
		for _, r := range due {
			if swept[r.name] {
				continue
			}
			op := driver.Delete(g.dir+"/"+r.name, backend.Version{})
			if _, err := g.store.Commit(g.life, driver.Txn{Ops: []driver.Op{op}}); err != nil {
				next = sweepPause
				break
			}
			swept[r.name] = true
		}
		timer := time.NewTimer(next)
		select {
		case <-news:
		case <-timer.C:
		case <-g.life.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// due returns what is to be deleted, and how long it takes at most until there
// may be more though there is no news.
func (g *Group) due(st *state, now time.Time) (due []*record, next time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next = markLife
	members := false // of this process
	for incarnation, r := range g.mine {
		if !r.over() {
			members = true
		} else if r.settled() {
			delete(g.mine, incarnation)
		}
	}
	if len(g.mine) == 0 {
		return nil, next
	}
	for _, rec := range st.records {
		if r := g.mine[rec.doc.Incarnation]; r != nil && !rec.left && r.stray(rec) {
			g.store.Logger().Info("sweeping a stray entry", "group", g.name, "registration", rec.name)
			due = append(due, rec)
		}
	}
	view := View{Members: g.roster.shown}
	for _, mark := range st.marks {
		left := markLife - now.Sub(mark.seen)
		if left <= 0 {
			// Those who should have may be gone, or not allowed to.
			chosen := view.Choose(mark.name, 1)
			left += markLife
			if members && (left <= 0 || len(chosen) > 0 && g.mine[chosen[0].Incarnation] != nil) {
				due = append(due, mark)
				left = sweepPause
			}
		}
		next = min(next, max(left, sweepPause))
	}
	return due, next
}

// over reports whether nothing is done for r any more.
func (r *Registration) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// settled reports whether nothing of r, which is over, can come to the store
// any more: with its session it could.
func (r *Registration) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session == nil || r.session.Context().Err() != nil
}

// stray reports whether an entry of r's incarnation is none that r knows of.
func (r *Registration) stray(rec *record) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over() {
		return true
	}
	return r.session != nil && rec.lease == r.session.ID() && rec.name != r.lastName && rec.name != r.pending
}
