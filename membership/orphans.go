package membership

import (
	"strings"

	"github.com/quorate/quorate/backend"
)

// claims reports whether an entry belongs to a membership of this Group.
func (g *Group) claims(e backend.Entry) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.uses(strings.TrimPrefix(e.Key, g.dir+"/"))
}

// uses is claims for the name of an entry; g.mu is held.
func (g *Group) uses(name string) bool {
	for _, r := range g.mine {
		if r.uses(name) {
			return true
		}
	}
	return false
}

// uses reports whether r has an entry of that name, or is creating it.
func (r *Registration) uses(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return name == r.lastName || name == r.pending
}

// reportOrphans tells the Store of entries under its session that the state
// shows and nobody uses; g.mu is held.
func (g *Group) reportOrphans() {
	if g.session == nil {
		return
	}
	for _, rec := range g.state.records {
		if rec.lease == g.session.ID() && !g.uses(rec.name) {
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
