package membership

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// Member is a process of the group. For Join, ID, Addr and Meta are to be set;
// the rest is told by the library.
type Member struct {
	// ID names the member for good: it stays when the process is restarted. Any
	// text of 1 to 100 bytes.
	ID string
	// Addr is where the others reach it, if they do.
	Addr string
	// Meta is what else it tells the others. It is shared among views and must
	// not be changed.
	Meta map[string]string

	// Incarnation is unique to one Join: it differs after a restart, and stays
	// when the member registers again after a lost session.
	Incarnation string
	// Registration is unique to one entry in the store, which goes with one
	// session. Package partition names its claims by it.
	Registration string
	// TTL is how long the store keeps the member after it was last heard of.
	TTL time.Duration
	// Held: the store does not show the member any more, and it has not left;
	// the view holds it for a while. See the package's documentation.
	Held bool

	rank, update uint64
}

func byID(a, b Member) int { return cmp.Compare(a.ID, b.ID) }

// View is who the members are, as far as this process knows. It does not
// change, costs nothing to copy, and may be used concurrently.
type View struct {
	// Synced: the members have been read from the store. Without it they are
	// those of Options.SnapshotFile, or none.
	Synced bool
	// Age is how long ago the view was last known to be what the store shows.
	Age time.Duration
	// Stale: Age exceeds the TTL, or the view is not Synced. Crashed members
	// may still be shown, and new ones may be missing, for longer than
	// otherwise.
	Stale bool
	// Members are the members, one per ID, in the order of their IDs. The slice
	// must not be changed.
	Members []Member
	// Change is what is new, in a view that Watch delivers: relative to the
	// last that the same Watch did.
	Change Change

	number uint64
}

// Change is the difference between two views, each part in the order of IDs.
type Change struct {
	Added   []Member
	Removed []Member // as they were last shown
	// Restarted are members of the same ID and another Incarnation than before.
	Restarted []Member
	// Updated are members whose Meta or Addr was updated.
	Updated []Member
}

// IsZero reports whether nothing is new.
func (c Change) IsZero() bool {
	return len(c.Added)+len(c.Removed)+len(c.Restarted)+len(c.Updated) == 0
}

// Lookup returns the member with an ID.
func (v View) Lookup(id string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(v.Members, id, func(m Member, id string) int { return cmp.Compare(m.ID, id) })
	if !ok {
		return Member{}, false
	}
	return v.Members[i], true
}

// Random returns a member picked at random, or false if there is none.
func (v View) Random() (Member, bool) {
	if len(v.Members) == 0 {
		return Member{}, false
	}
	return v.Members[rand.IntN(len(v.Members))], true
}

// Held returns how many members are held.
func (v View) Held() int {
	n := 0
	for i := range v.Members {
		if v.Members[i].Held {
			n++
		}
	}
	return n
}

// TTL returns the longest TTL of the members, zero if there is none.
func (v View) TTL() (ttl time.Duration) {
	for i := range v.Members {
		ttl = max(ttl, v.Members[i].TTL)
	}
	return ttl
}

// changeFrom returns what is new in members relative to old, both by ID.
func changeFrom(old, members []Member) (c Change) {
	for len(old) > 0 || len(members) > 0 {
		switch {
		case len(members) == 0 || len(old) > 0 && old[0].ID < members[0].ID:
			c.Removed = append(c.Removed, old[0])
			old = old[1:]
			continue
		case len(old) == 0 || members[0].ID < old[0].ID:
			c.Added = append(c.Added, members[0])
			members = members[1:]
			continue
		case old[0].Incarnation != members[0].Incarnation:
			c.Restarted = append(c.Restarted, members[0])
		case old[0].update != members[0].update:
			c.Updated = append(c.Updated, members[0])
		}
		old, members = old[1:], members[1:]
	}
	return c
}
