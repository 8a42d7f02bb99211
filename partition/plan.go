package partition

import (
	"cmp"
	"maps"
	"slices"
)

// next returns the plan after p that these seats call for: who is to have each
// slot by assign, with the tokens of those that stay where they are. Where p
// names another registration of a seat's member (it came back after a crash, or
// after the loss of its session), that is the new owner: no slot moves to
// another member, but the tokens are new, since the old registration may still
// run them, and has to be told from the new one.
//
// With fresh all tokens are new, whoever had the slots.
func (p *plan) next(id planID, seats []seat, fresh bool) *plan {
	seats = slices.Clone(seats)
	slices.SortFunc(seats, func(a, b seat) int { return cmp.Compare(a.registration, b.registration) })
	seatOf := make([]int, len(p.members))
	for m, registration := range p.members {
		seatOf[m] = slices.IndexFunc(seats, func(s seat) bool { return s.registration == registration })
		if seatOf[m] < 0 {
			seatOf[m] = slices.IndexFunc(seats, func(s seat) bool { return idOf(s.registration) == idOf(registration) })
		}
	}
	has := make([]int, len(p.slots))
	for k, s := range p.slots {
		has[k] = nobody
		if s.owner != nobody {
			has[k] = seatOf[s.owner]
		}
	}
	owner := assign(has, seats)
	q := &plan{planID: id, group: p.group, line: p.line, slots: make([]assigned, len(p.slots))}
	used := make([]bool, len(seats))
	for _, i := range owner {
		if i != nobody {
			used[i] = true
		}
	}
	memberOf := make([]int, len(seats))
	for i, s := range seats {
		if used[i] {
			memberOf[i] = len(q.members)
			q.members = append(q.members, s.registration)
			q.weights = append(q.weights, s.weight)
		}
	}
	for k, i := range owner {
		q.slots[k] = assigned{owner: nobody, token: id.epoch}
		if i != nobody {
			q.slots[k].owner = memberOf[i]
		}
		if !fresh && q.ownerOf(k) == p.ownerOf(k) {
			q.slots[k].token = p.slots[k].token
		}
	}
	return q
}

// same reports whether q gives every slot to whom p gives it.
func (p *plan) same(q *plan) bool {
	for k := range p.slots {
		if p.ownerOf(k) != q.ownerOf(k) {
			return false
		}
	}
	return true
}

// names reports whether registration owns a slot by p.
func (p *plan) names(registration string) bool { return slices.Contains(p.members, registration) }

// empty is the plan before the first: nobody owns anything.
func empty(group string, n int) *plan {
	p := &plan{group: group, slots: make([]assigned, n)}
	for k := range p.slots {
		p.slots[k].owner = nobody
	}
	return p
}

// withHolders returns p with the slots that are claimed given to who claims
// them, of several to the one with the highest token.
func (p *plan) withHolders(o *others) *plan {
	q := &plan{planID: p.planID, group: p.group, line: p.line, slots: slices.Clone(p.slots)}
	q.members, q.weights = slices.Clone(p.members), slices.Clone(p.weights)
	index := make(map[string]int)
	for i, registration := range q.members {
		index[registration] = i
	}
	holder := make(map[int]uint64)
	for _, registration := range slices.Sorted(maps.Keys(o.all)) {
		c := o.all[registration]
		if c == nil {
			continue
		}
		for k, token := range c.slots {
			if k >= len(q.slots) || token < holder[k] {
				continue
			}
			i, ok := index[registration]
			if !ok {
				i = len(q.members)
				index[registration] = i
				q.members, q.weights = append(q.members, registration), append(q.weights, c.weight)
			}
			holder[k] = token
			q.slots[k].owner = i
		}
	}
	return q
}
