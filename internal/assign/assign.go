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
	// Zone is where it runs; those that fail together are in one zone.
	Zone string
	// Preferred: what has to move goes to it rather than to others, as long as
	// it has less than its share.
	Preferred bool
	// GaveUp are the slots that it will not run.
	GaveUp map[int]bool
	// Away: it is expected back. It keeps what it has and gets nothing.
	Away bool
}

// Slots gives the slots out anew: has says which seat has each now, or Nobody.
// Processes that plan from the same state plan the same.
//
// Balance. Let n be the slots to give out, W the sum of the weights. A seat of
// weight w gets its share n*w/W, rounded down or up. A zone gets the sum of its
// seats' shares, rounded down or up. With equal weights no seat has two more
// slots than another.
//
// Fewest moves. Whatever the targets t are, a slot whose owner is gone has to
// move, and a seat that has c slots loses at least c-t of them. No balanced plan
// has fewer moves than
//
//	(slots without an owner) + sum of max(0, c-t)
//
// for its own t. This plan has as many: no seat loses more, and each slot taken
// goes straight to a seat below its target, whose spare places are just as many
// since the targets add up to n. Between targets: the sum decides how many
// shares are rounded up, in a zone and over all zones; only which ones is free.
// To round one up instead of down saves one move if that seat has more than its
// share rounded down, and none otherwise. So those go first, and no choice saves
// more.
//
// Neighbours. Slots k and k+1 go to different zones where that costs no move:
// the slots that an overloaded seat loses are first those with a neighbour in
// the same zone, and a slot goes to the zone with the most room among those of
// no neighbour.
//
// If still, no slot moves for the sake of balance: a seat with more than its
// share keeps what it has.
//
// A slot that a seat gave up does not go there. If that leaves no place for it,
// others change places by a shortest chain of exchanges; these moves are more
// than the fewest. If there is no such chain, the least loaded seat that will
// have it gets it, beyond its share. A slot that all gave up is nobody's.
func Slots(has []int, seats []Seat, still bool) []int {
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
	if !still {
		pool = append(pool, a.take()...)
	}
	slices.Sort(pool)
	for _, k := range pool {
		a.place(k)
	}
	return owner
}

type assignment struct {
	owner   []int
	seats   []Seat
	count   []int // slots that a seat has
	share   []int // and is to have
	bands   []*band
	bandsOf []*band // by seat
	open    []*band // place's, kept for its memory
}

// band is the seats of a zone that are preferred, or those that are not.
type band struct {
	zone      string
	preferred bool
	seats     []int
	room      int // slots below the shares of those that have fewer
	cursor    int // seats before it are full
}

// wanted reports whether a seat would have slot k.
func (a *assignment) wanted(k int) bool {
	return slices.ContainsFunc(a.seats, func(s Seat) bool { return !s.Away && !s.GaveUp[k] })
}

func (a *assignment) spare(i int) int { return a.share[i] - a.count[i] }

// target sets the shares of n slots, and with them the bands.
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
	zones := make(map[string]*rounding)
	var order []*rounding // in the order of their first seats
	for i, s := range a.seats {
		if s.Away {
			continue
		}
		a.share[i], rest[i] = n*s.Weight/weights, n*s.Weight%weights
		left -= a.share[i]
		z := zones[s.Zone]
		if z == nil {
			z = new(rounding)
			zones[s.Zone] = z
			order = append(order, z)
		}
		z.rest += rest[i]
		if rest[i] > 0 {
			z.up = append(z.up, i)
			if a.count[i] > a.share[i] {
				z.saves++
			}
		}
	}
	for _, z := range order {
		z.n, z.rest = z.rest/weights, z.rest%weights
		left -= z.n
	}
	slices.SortStableFunc(order, func(y, z *rounding) int {
		return cmp.Or(compare(y.rest == 0, z.rest == 0), compare(y.saves <= y.n, z.saves <= z.n), cmp.Compare(z.rest, y.rest))
	})
	for _, z := range order[:left] {
		z.n++
	}
	for _, z := range order {
		slices.SortStableFunc(z.up, func(i, j int) int {
			return cmp.Or(compare(a.count[i] <= a.share[i], a.count[j] <= a.share[j]), cmp.Compare(rest[j], rest[i]))
		})
		for _, i := range z.up[:z.n] {
			a.share[i]++
		}
	}
	a.divide()
}

// rounding says how many seats of a zone have their shares rounded up.
type rounding struct {
	rest  int   // of the division, of all its seats
	up    []int // seats whose shares may be rounded up
	saves int   // those of them that lose one slot less then
	n     int   // how many are
}

// compare orders false before true.
func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// divide makes the bands.
func (a *assignment) divide() {
	type name struct {
		zone      string
		preferred bool
	}
	bands := make(map[name]*band)
	a.bandsOf = make([]*band, len(a.seats))
	for i, s := range a.seats {
		if s.Away {
			continue
		}
		b := bands[name{s.Zone, s.Preferred}]
		if b == nil {
			b = &band{zone: s.Zone, preferred: s.Preferred}
			bands[name{s.Zone, s.Preferred}] = b
			a.bands = append(a.bands, b)
		}
		b.seats = append(b.seats, i)
		b.room += max(a.spare(i), 0)
		a.bandsOf[i] = b
	}
}

// take takes from each seat what it has beyond its share.
func (a *assignment) take() (taken []int) {
	for crowd := 2; crowd >= 0; crowd-- {
		for k, i := range slices.Backward(a.owner) {
			if i != Nobody && !a.seats[i].Away && a.spare(i) < 0 && a.neighbours(k, a.seats[i].Zone) >= crowd {
				a.owner[k] = Nobody
				a.count[i]--
				taken = append(taken, k)
			}
		}
	}
	return taken
}

// neighbours returns how many neighbours of slot k are in the zone.
func (a *assignment) neighbours(k int, zone string) (n int) {
	if len(a.bands) < 2 {
		return 0
	}
	for _, j := range [...]int{k - 1, k + 1} {
		if j >= 0 && j < len(a.owner) && a.owner[j] != Nobody && a.seats[a.owner[j]].Zone == zone {
			n++
		}
	}
	return n
}

// give gives slot k to seat i.
func (a *assignment) give(k, i int) {
	a.owner[k] = i
	if a.count[i]++; a.count[i] <= a.share[i] {
		a.bandsOf[i].room--
	}
}

// leave takes a slot from seat i, which passes it on.
func (a *assignment) leave(i int) {
	if a.count[i]--; a.count[i] < a.share[i] {
		a.bandsOf[i].room++
		a.bandsOf[i].cursor = 0
	}
}

// place gives slot k, which nobody has, to a seat that would have it.
func (a *assignment) place(k int) {
	open := a.open[:0]
	for _, b := range a.bands {
		if b.room > 0 {
			open = append(open, b)
		}
	}
	for a.open = open; len(open) > 0; {
		best := slices.MinFunc(open, func(b, c *band) int {
			return cmp.Or(compare(!b.preferred, !c.preferred),
				cmp.Compare(a.neighbours(k, b.zone), a.neighbours(k, c.zone)), cmp.Compare(c.room, b.room))
		})
		if i := a.seatIn(best, k); i != Nobody {
			a.give(k, i)
			return
		}
		open = slices.DeleteFunc(open, func(b *band) bool { return b == best })
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

// seatIn returns the first seat of a band with room for slot k.
func (a *assignment) seatIn(b *band, k int) int {
	for b.cursor < len(b.seats) && a.spare(b.seats[b.cursor]) <= 0 {
		b.cursor++
	}
	for _, i := range b.seats[b.cursor:] {
		if a.spare(i) > 0 && !a.seats[i].GaveUp[k] {
			return i
		}
	}
	return Nobody
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
		a.leave(before)
		end = before
	}
}
