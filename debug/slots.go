package debug

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/partition"
)

type partitionPart struct {
	Epoch     uint64       `json:"epoch"`
	Slots     int          `json:"slots"`
	Unowned   int          `json:"unowned"`   // by the plan
	Unsettled int          `json:"unsettled"` // the claims say other than the plan
	Count     int          `json:"count"`     // of members that have slots or claims
	Members   []slotMember `json:"members,omitempty"`
	More      int          `json:"more,omitempty"`
	// Owners are who the plan gives the slots to, run after run.
	Owners      []run        `json:"owners,omitempty"`
	Differences []difference `json:"differences,omitempty"`
	// MoreDifferences are those beyond the ones shown.
	MoreDifferences int `json:"more_differences,omitempty"`

	Map slotMap `json:"-"`
}

// slotMember is a registration that has slots by the plan, or claims.
type slotMember struct {
	ID           string `json:"id"`
	Registration string `json:"registration"`
	Planned      int    `json:"planned"`
	Claims       bool   `json:"claims"` // it has claims, be it of no slot
	Claimed      int    `json:"claimed"`
	Weight       int    `json:"weight,omitempty"`
	GaveUp       int    `json:"gave_up,omitempty"`
	Leaving      bool   `json:"leaving,omitempty"`
	Tokens       string `json:"tokens,omitempty"` // of what the plan gives it: "7 ×40, 9 ×2"
	Where        string `json:"where,omitempty"`  // which slots: "0–3, 8"

	Colour int `json:"-"`
}

// run are slots in a row with the same owner and token.
type run struct {
	From  int    `json:"from"`
	To    int    `json:"to"`
	Owner string `json:"owner,omitempty"`
	Token uint64 `json:"token,omitempty"`
}

// difference are slots in a row of which the claims say other than the plan,
// and the same.
type difference struct {
	From   int      `json:"from"`
	To     int      `json:"to"`
	Owner  *holder  `json:"owner,omitempty"`
	Claims []holder `json:"claims,omitempty"`

	slot partition.SlotStatus
}

type holder struct {
	ID           string `json:"id"`
	Registration string `json:"registration"`
	Token        uint64 `json:"token"`
}

func holderOf(h partition.Holder) holder {
	return holder{ID: clean(h.ID), Registration: clean(h.Registration), Token: h.Token}
}

// partitionOf is what is shown of a partition.
func partitionOf(s partition.Status) partitionPart {
	p := partitionPart{Epoch: s.Epoch, Slots: len(s.Slots)}
	members := make(map[string]*slotMember)
	of := func(id, registration string) *slotMember {
		if members[registration] == nil {
			members[registration] = &slotMember{ID: clean(id), Registration: clean(registration)}
		}
		return members[registration]
	}
	for _, c := range s.Claimants {
		m := of(c.ID, c.Registration)
		m.Claims, m.Claimed, m.Weight, m.GaveUp, m.Leaving = true, c.Slots, c.Weight, c.GaveUp, c.Leaving
	}
	slots := make(map[string][]int)
	tokens := make(map[string]map[uint64]int)
	var differences []difference
	for k, slot := range s.Slots {
		owner := slot.Owner
		if owner.IsZero() {
			p.Unowned++
		} else {
			of(owner.ID, owner.Registration).Planned++
			slots[owner.Registration] = append(slots[owner.Registration], k)
			if tokens[owner.Registration] == nil {
				tokens[owner.Registration] = make(map[uint64]int)
			}
			tokens[owner.Registration][owner.Token]++
		}
		if k > 0 && s.Slots[k-1].Owner == owner {
			p.Owners[len(p.Owners)-1].To = k
		} else {
			p.Owners = append(p.Owners, run{From: k, To: k, Owner: clean(owner.ID), Token: owner.Token})
		}
		if !slot.Settled() {
			p.Unsettled++
			if n := len(differences); n > 0 && differences[n-1].To == k-1 && same(differences[n-1].slot, slot) {
				differences[n-1].To = k
			} else {
				differences = append(differences, difference{From: k, To: k, slot: slot})
			}
		}
	}
	p.MoreDifferences = max(len(differences)-maxDifferences, 0)
	p.Differences = differences[:len(differences)-p.MoreDifferences]
	for i := range p.Differences {
		d := &p.Differences[i]
		if !d.slot.Owner.IsZero() {
			owner := holderOf(d.slot.Owner)
			d.Owner = &owner
		}
		for _, c := range d.slot.Claims[:min(len(d.slot.Claims), maxQueue)] {
			d.Claims = append(d.Claims, holderOf(c))
		}
	}
	order := slices.SortedFunc(maps.Keys(members), func(a, b string) int {
		return cmp.Or(cmp.Compare(members[a].ID, members[b].ID), cmp.Compare(a, b))
	})
	colours := coloursOf(order, members)
	for _, registration := range order {
		m := members[registration]
		m.Colour = colours[registration]
		m.Where, m.Tokens = ranges(slots[registration]), counted(tokens[registration])
		if p.Count++; len(p.Members) < maxMembers {
			p.Members = append(p.Members, *m)
		}
	}
	p.More = p.Count - len(p.Members)
	p.Map = mapOf(s, order, members)
	return p
}

func same(a, b partition.SlotStatus) bool {
	return a.Owner == b.Owner && slices.Equal(a.Claims, b.Claims)
}

// colourCount is how many colours the style sheet has.
const colourCount = 24

// coloursOf gives each registration a colour that depends on its ID, so that it
// keeps it when others come and go, as far as there are enough.
func coloursOf(order []string, members map[string]*slotMember) map[string]int {
	colours := make(map[string]int, len(order))
	var taken [colourCount]bool
	for n, registration := range order {
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(members[registration].ID))
		c := int(hash.Sum32() % colourCount)
		for n < colourCount && taken[c] {
			c = (c + 7) % colourCount // coprime, so that all are tried
		}
		taken[c] = true
		colours[registration] = c
	}
	return colours
}

// ranges returns slots, in order, as text, a few runs of them.
func ranges(slots []int) string {
	const most = 12
	var out []string
	rest := 0
	for i := 0; i < len(slots); {
		j := i
		for j+1 < len(slots) && slots[j+1] == slots[j]+1 {
			j++
		}
		switch {
		case len(out) == most:
			rest += j - i + 1
		case i == j:
			out = append(out, fmt.Sprint(slots[i]))
		default:
			out = append(out, fmt.Sprintf("%d–%d", slots[i], slots[j]))
		}
		i = j + 1
	}
	if rest > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(out, ", "), rest)
	}
	return strings.Join(out, ", ")
}

// counted returns tokens and how many slots have each, the newest first.
func counted(tokens map[uint64]int) string {
	const most = 6
	var out []string
	order := slices.Sorted(maps.Keys(tokens))
	slices.Reverse(order)
	for i, token := range order {
		if i == most {
			return fmt.Sprintf("%s and %d older", strings.Join(out, ", "), len(order)-most)
		}
		out = append(out, fmt.Sprintf("%d ×%d", token, tokens[token]))
	}
	return strings.Join(out, ", ")
}
