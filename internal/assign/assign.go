// Package assign decides which member of a group is to have which slot. It does
// no I/O, and what it returns is a function of its arguments alone.
package assign

import (
	"cmp"
	"slices"
)

// Nobody is the owner of a slot that has none.
const Nobody = -1

// Seat is a member as the planner sees it.
type Seat struct {
	// Registration names it, as "<ID>~<nonce>".
	Registration string
	Weight       int
	// GaveUp are the slots that it will not run.
	GaveUp map[int]bool
	// Away: it is expected back. It keeps what it has and gets nothing.
	Away bool
}

// Slots gives the slots out anew: has says which seat has each now, or Nobody.
// It is a function of its arguments alone, so that whoever plans from the same
// state plans the same.
//
// Balance. Let n be the slots to give out, W the sum of the weights. A seat of
// weight w gets its share n*w/W, rounded down or up; so with equal weights no
// seat has two more than another.
//
// Fewest moves. Whatever the targets t are, a slot whose owner is gone has to
// move, and a seat that has c slots loses at least c-t of them; so no balanced
// plan has fewer moves than
//
//	(slots without an owner) + sum of max(0, c-t)
//
// for its own t. What is done here has as many as that: no seat loses more, and
// each slot taken goes straight to a seat below its target, whose spare places
// are just as many since the targets add up to n. Between targets: how many
// are rounded up is given by the sum, only which ones is free. To round one up
// instead of down saves one move if that seat has more than its share rounded
// down, and none otherwise; so those go first, and no choice saves more.
//
// A slot that a seat gave up does not go there. If that leaves no place for it,
// others change places by a shortest chain of exchanges; these moves are more
// than the fewest. If there is no such chain the least loaded that will have it
// gets it, beyond its share. What all have given up is nobody's.
func Slots(has []int, seats []Seat) []int {
	owner := slices.Clone(has)
	a := &assignment{owner: owner, seats: seats, count: make([]int, len(seats))}
	var pool []int
	n := 0 // to give out
	for k, i := range owner {
		switch {
		case i != Nobody && seats[i].Away:
		case !a.wanted(k):
			owner[k] = Nobody
		case i == Nobody || seats[i].GaveUp[k]:
			owner[k] = Nobody
			pool = append(pool, k)
			n++
		default:
			a.count[i]++
			n++
		}
	}
	a.target(n)
	for k, i := range slices.Backward(owner) {
		if i != Nobody && !seats[i].Away && a.spare(i) < 0 {
			owner[k] = Nobody
			a.count[i]--
			pool = append(pool, k)
		}
	}
	slices.Sort(pool)
	for _, k := range pool {
		a.place(k)
	}
	return owner
}

type assignment struct {
	owner  []int
	seats  []Seat
	count  []int // slots that a seat has
	share  []int // and is to have
	cursor int   // seats before it are full
}

// wanted reports whether a seat would have slot k.
func (a *assignment) wanted(k int) bool {
	return slices.ContainsFunc(a.seats, func(s Seat) bool { return !s.Away && !s.GaveUp[k] })
}

func (a *assignment) spare(i int) int { return a.share[i] - a.count[i] }

// target sets the shares of n slots.
func (a *assignment) target(n int) {
	a.share = make([]int, len(a.seats))
	weights := 0
	for _, s := range a.seats {
		if !s.Away {
			weights += s.Weight
		}
	}
	left := n
	rest := make([]int, len(a.seats)) // of the division
	var up []int                      // may be rounded up
	for i, s := range a.seats {
		if s.Away {
			continue
		}
		a.share[i], rest[i] = n*s.Weight/weights, n*s.Weight%weights
		left -= a.share[i]
		if rest[i] > 0 {
			up = append(up, i)
		}
	}
	slices.SortStableFunc(up, func(i, j int) int {
		saves := func(i int) int { return min(max(a.count[i]-a.share[i], 0), 1) }
		return cmp.Or(cmp.Compare(saves(j), saves(i)), cmp.Compare(rest[j], rest[i]))
	})
	for _, i := range up[:left] {
		a.share[i]++
	}
}

func (a *assignment) give(k, i int) {
	a.owner[k] = i
	a.count[i]++
}

// place gives slot k, which nobody has, to a seat that would have it.
func (a *assignment) place(k int) {
	for a.cursor < len(a.seats) && (a.seats[a.cursor].Away || a.spare(a.cursor) <= 0) {
		a.cursor++
	}
	for i := a.cursor; i < len(a.seats); i++ {
		if s := a.seats[i]; !s.Away && a.spare(i) > 0 && !s.GaveUp[k] {
			a.give(k, i)
			return
		}
	}
	if a.exchange(k) {
		return
	}
	least := Nobody
	for i, s := range a.seats {
		if !s.Away && !s.GaveUp[k] && (least == Nobody || a.spare(i) > a.spare(least)) {
			least = i
		}
	}
	a.give(k, least)
}

// exchange finds a place for slot k by a shortest chain: k goes to a full seat,
// which passes one of its slots on to another, and so on to one with a place.
func (a *assignment) exchange(k int) bool {
	from := make([]int, len(a.seats)) // the slot with which a seat was reached
	for i := range from {
		from[i] = Nobody
	}
	var queue []int
	reach := func(slot int) (end int) {
		for i, s := range a.seats {
			if from[i] == Nobody && !s.Away && !s.GaveUp[slot] {
				from[i] = slot
				if a.spare(i) > 0 {
					return i
				}
				queue = append(queue, i)
			}
		}
		return Nobody
	}
	end := reach(k)
	for end == Nobody && len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		for slot, owner := range a.owner {
			if owner == i {
				if end = reach(slot); end != Nobody {
					break
				}
			}
		}
	}
	if end == Nobody {
		return false
	}
	for slot := from[end]; ; slot = from[end] {
		before := a.owner[slot]
		a.give(slot, end)
		if before == Nobody {
			return true
		}
		a.count[before]--
		end = before
	}
}
