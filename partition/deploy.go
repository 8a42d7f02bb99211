package partition

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/assign"
)

// deployQuiet is for how long after a member last came or went a deploy counts
// as under way while members of several versions are there.
const deployQuiet = 5 * time.Minute

// deploy is what a member has seen of a deploy.
type deploy struct {
	members string    // the registrations, in order
	since   time.Time // they are these
}

// applyControl makes seats of members that are cordoned, or of the newest
// version, what the planner has to know of them. With still nothing is to move
// for the sake of balance; again is when that ends, zero if nothing says so.
func (m *member) applyControl(all []assign.Seat, o *others) (seats []assign.Seat, still bool, again time.Time) {
	cordoned := func(s assign.Seat) bool {
		return !s.Away && slices.Contains(o.control.Cordoned, idOf(s.Registration))
	}
	if until := o.control.FrozenUntil; o.at.Before(until) {
		still, again = true, until
	}
	keeps := still || !slices.ContainsFunc(all, func(s assign.Seat) bool { return !s.Away && !cordoned(s) })
	for _, s := range all {
		switch {
		case !cordoned(s):
		case keeps:
			s.Away = true // it keeps what it has and gets nothing
		default:
			continue // as if it were leaving
		}
		seats = append(seats, s)
	}
	newest, several := newestVersion(seats, o)
	var names []string
	for i := range seats {
		names = append(names, seats[i].Registration)
		if c := o.all[seats[i].Registration]; several && c != nil {
			seats[i].Preferred = compareVersions(c.version, newest) == 0
		}
	}
	slices.Sort(names)
	if members := strings.Join(names, "/"); members != m.deploy.members {
		m.deploy = deploy{members, o.at}
	}
	if until := m.deploy.since.Add(deployQuiet); several && o.at.Before(until) {
		if again.IsZero() || until.Before(again) {
			again = until
		}
		still = true
	}
	return seats, still, again
}

// newestVersion returns the newest version of the present seats, and whether
// there are others.
func newestVersion(seats []assign.Seat, o *others) (newest string, several bool) {
	first := true
	for _, s := range seats {
		c := o.all[s.Registration]
		if s.Away || c == nil {
			continue
		}
		order := compareVersions(c.version, newest)
		several = several || !first && order != 0
		if first || order > 0 {
			newest = c.version
		}
		first = false
	}
	return newest, several
}

// compareVersions orders versions: runs of digits as numbers, the rest as text.
func compareVersions(v, w string) int {
	for v != "" && w != "" {
		a, b := leadingDigits(v), leadingDigits(w)
		if a == "" || b == "" {
			if v[0] != w[0] {
				return cmp.Compare(v[0], w[0])
			}
			v, w = v[1:], w[1:]
			continue
		}
		v, w = v[len(a):], w[len(b):]
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if order := cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)); order != 0 {
			return order
		}
	}
	return cmp.Compare(len(v), len(w))
}

func leadingDigits(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
}
