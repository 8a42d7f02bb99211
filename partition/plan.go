package partition

import (
	"maps"
	"slices"

	"github.com/quorate/quorate/internal/assign"
)

// plan is a planDocument that was read. It is never changed.
type plan struct {
	planID
	assign.Table
	group string
	line  string
}

// planID names a plan. The nonce tells apart plans that came to have the same
// epoch in different histories of the store.
type planID struct {
	epoch uint64
	nonce string
}

// empty is the plan before the first: nobody owns anything.
func empty(group string, n int) *plan {
	return &plan{group: group, Table: assign.Empty(n)}
}

// next returns the plan after p that these seats call for.
func (p *plan) next(id planID, seats []assign.Seat, fresh, still bool) *plan {
	return &plan{planID: id, group: p.group, line: p.line, Table: p.Next(id.epoch, seats, fresh, still)}
}

// withHolders returns p with the slots that are claimed given to who claims
// them, of several to the one with the highest token.
func (p *plan) withHolders(o *others) *plan {
	q := &plan{planID: p.planID, group: p.group, line: p.line}
	q.Slots, q.Members, q.Weights = slices.Clone(p.Slots), slices.Clone(p.Members), slices.Clone(p.Weights)
	index := make(map[string]int)
	for i, registration := range q.Members {
		index[registration] = i
	}
	holder := make(map[int]uint64)
	for _, registration := range slices.Sorted(maps.Keys(o.all)) {
		c := o.all[registration]
		if c == nil {
			continue
		}
		for k, token := range c.slots {
			if k >= len(q.Slots) || token < holder[k] {
				continue
			}
			i, ok := index[registration]
			if !ok {
				i = len(q.Members)
				index[registration] = i
				q.Members, q.Weights = append(q.Members, registration), append(q.Weights, c.weight)
			}
			holder[k] = token
			q.Slots[k].Owner = i
		}
	}
	return q
}
