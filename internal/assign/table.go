package assign

import (
	"cmp"
	"slices"
	"strings"
)

// Slot is what a Table says of one slot.
type Slot struct {
	Owner int    // index of Members, or Nobody
	Token uint64 // the epoch that last changed the owner
}

// Table says who is to have each slot. It is never changed.
type Table struct {
	Members []string // registrations
	Weights []int
	Slots   []Slot
}

// Empty is the table before the first: nobody owns any of n slots.
func Empty(n int) Table {
	t := Table{Slots: make([]Slot, n)}
	for k := range t.Slots {
		t.Slots[k].Owner = Nobody
	}
	return t
}

// Next returns the table after t, of this epoch, that these seats call for: who
// is to have each slot by Slots, with the tokens of those that stay where they
// are. Where t names another registration of a seat's member (it came back
// after a crash, or after the loss of its session), that is the new owner: no
// slot moves to another member, but the tokens are new, since the old
// registration may still run them, and has to be told from the new one.
//
// With fresh all tokens are new, whoever had the slots. With still no slot
// moves for the sake of balance, see Slots.
func (t Table) Next(epoch uint64, seats []Seat, fresh, still bool) Table {
	seats = slices.Clone(seats)
	slices.SortFunc(seats, func(a, b Seat) int { return cmp.Compare(a.Registration, b.Registration) })
	byName, byID := make(map[string]int, len(seats)), make(map[string]int, len(seats))
	for i, s := range seats {
		byName[s.Registration] = i
		if _, twice := byID[IDOf(s.Registration)]; !twice {
			byID[IDOf(s.Registration)] = i
		}
	}
	seatOf := make([]int, len(t.Members))
	for m, registration := range t.Members {
		var ok bool
		if seatOf[m], ok = byName[registration]; ok {
			continue
		}
		if seatOf[m], ok = byID[IDOf(registration)]; !ok {
			seatOf[m] = Nobody
		}
	}
	has := make([]int, len(t.Slots))
	for k, s := range t.Slots {
		has[k] = Nobody
		if s.Owner != Nobody {
			has[k] = seatOf[s.Owner]
		}
	}
	owner := Slots(has, seats, still)
	used := make([]bool, len(seats))
	for _, i := range owner {
		if i != Nobody {
			used[i] = true
		}
	}
	next := Table{Slots: make([]Slot, len(t.Slots))}
	memberOf := make([]int, len(seats))
	for i, s := range seats {
		if used[i] {
			memberOf[i] = len(next.Members)
			next.Members = append(next.Members, s.Registration)
			next.Weights = append(next.Weights, s.Weight)
		}
	}
	for k, i := range owner {
		next.Slots[k] = Slot{Owner: Nobody, Token: epoch}
		if i != Nobody {
			next.Slots[k].Owner = memberOf[i]
		}
		if !fresh && next.OwnerOf(k) == t.OwnerOf(k) {
			next.Slots[k].Token = t.Slots[k].Token
		}
	}
	return next
}

// OwnerOf returns the registration that is to own slot k, empty if none is.
func (t Table) OwnerOf(k int) string {
	if t.Slots[k].Owner == Nobody {
		return ""
	}
	return t.Members[t.Slots[k].Owner]
}

// Names reports whether registration owns a slot by t.
func (t Table) Names(registration string) bool { return slices.Contains(t.Members, registration) }

// Same reports whether u gives every slot to whom t gives it.
func (t Table) Same(u Table) bool {
	for k := range t.Slots {
		if t.OwnerOf(k) != u.OwnerOf(k) {
			return false
		}
	}
	return true
}

// Moved counts the slots that another member is to have by u than by t.
func (t Table) Moved(u Table) (n int) {
	for k := range t.Slots {
		if IDOf(t.OwnerOf(k)) != IDOf(u.OwnerOf(k)) {
			n++
		}
	}
	return n
}

// IDOf returns the member's ID, escaped, in the name of a registration.
func IDOf(registration string) string {
	return registration[:max(strings.LastIndexByte(registration, '~'), 0)]
}
