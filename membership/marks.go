package membership

import (
	"time"

	"github.com/quorate/quorate/backend"
)

const (
	// markLife is how long a mark of a Leave is kept after this process first
	// saw it: as long as another may take to see it. A member then deletes it.
	markLife = 2 * time.Minute
	// markPause is the shortest pause between two rounds of deletions. It doubles
	// with each round that fails, or that the watch has not shown, up to
	// markLife.
	markPause = time.Second
)

// expireMarks deletes this process's share of the marks that are due, until the
// group ends.
func (g *Group) expireMarks() {
	pause := markPause
	for last := uint64(0); ; {
		st, news := g.present()
		due, next := g.dueMarks(st, time.Now())
		if len(due) > 0 {
			err := g.deleteMarks(due)
			switch {
			case err == nil && st.number != last:
				pause = markPause
			case err != nil && g.life.Err() == nil:
				g.store.Logger().Warn("marks of members that left could not be deleted", "group", g.name, "pause", pause, "error", err)
			}
			last = st.number
			next, news = pause, nil // the next state may still show what is deleted
			pause = min(2*pause, markLife)
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

func (g *Group) deleteMarks(marks []*record) error {
	for _, mark := range marks {
		op := backend.Delete(g.dir+"/"+mark.name, backend.Version{})
		if _, err := g.store.Commit(g.life, backend.Txn{Ops: []backend.Op{op}}); err != nil {
			return err
		}
	}
	return nil
}

// dueMarks returns the marks that this process is to delete, and how long it
// takes at most until there are more though there is no news.
func (g *Group) dueMarks(st *state, now time.Time) (due []*record, next time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next = markLife
	if len(g.mine) == 0 {
		return nil, next
	}
	view := View{Members: g.roster.shown}
	for _, mark := range st.marks {
		left := markLife - now.Sub(mark.seen)
		if left <= 0 {
			// One member deletes it; any may do so later, for that one may be gone,
			// or not allowed to.
			chosen := view.Choose(mark.name, 1)
			if left += markLife; left <= 0 || len(chosen) > 0 && g.mine[chosen[0].Incarnation] != nil {
				due = append(due, mark)
				left = markPause
			}
		}
		next = min(next, max(left, markPause))
	}
	return due, next
}
