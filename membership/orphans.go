package membership

import (
	"strings"

	"github.com/quorate/quorate/backend"
)

// claims reports whether a membership of this Group has an entry, or is
// creating it.
func (g *Group) claims(e backend.Entry) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.uses(strings.TrimPrefix(e.Key, g.dir+"/"))
}

// uses is claims for the name of an entry; g.mu is held.
func (g *Group) uses(name string) bool {
	for _, r := range g.mine {
		r.mu.Lock()
		mine := name == r.lastName || name == r.pending
		r.mu.Unlock()
		if mine {
			return true
		}
	}
	return false
}

// reportOrphans tells the Store when the state shows an entry under its session
// that nobody uses; g.mu is held.
func (g *Group) reportOrphans() {
	for _, rec := range g.state.records {
		if g.session != nil && rec.lease == g.session.ID() && !g.uses(rec.name) {
			g.claimant.GaveUp(g.session, true)
			return
		}
	}
}

// drop ends what this Group does for r, whose entries are not used any more.
func (g *Group) drop(r *Registration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.mine, r.incarnation)
	r.mu.Lock()
	sent, session := r.sent, r.session
	soon := r.inDoubt == session || r.replaced()
	r.mu.Unlock()
	if sent {
		g.claimant.GaveUp(session, soon)
	}
}
