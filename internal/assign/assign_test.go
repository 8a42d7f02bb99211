package assign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// balanced reports whether every seat that is not away has its share of the n
// slots to give out, rounded down or up, and every zone its seats' shares.
func balanced(owner []int, seats []Seat, n int) bool {
	weights := 0
	for _, s := range seats {
		if !s.Away {
			weights += s.Weight
		}
	}
	has := func(count, weight int) bool {
		lo := n * weight / weights
		return count == lo || n*weight%weights > 0 && count == lo+1
	}
	counts, zoneWeights := make(map[string]int), make(map[string]int)
	for i, s := range seats {
		if s.Away {
			continue
		}
		count := 0
		for _, o := range owner {
			if o == i {
				count++
			}
		}
		if !has(count, s.Weight) {
			return false
		}
		counts[s.Zone] += count
		zoneWeights[s.Zone] += s.Weight
	}
	for zone, count := range counts {
		if !has(count, zoneWeights[zone]) {
			return false
		}
	}
	return true
}

func moves(has, owner []int) (n int) {
	for k := range has {
		if has[k] != owner[k] {
			n++
		}
	}
	return n
}

// fewest tries every assignment.
func fewest(has []int, seats []Seat) int {
	best := len(has) + 1
	owner := make([]int, len(has))
	n := 0
	for _, i := range has {
		if i == Nobody || !seats[i].Away {
			n++
		}
	}
	var try func(k int)
	try = func(k int) {
		if k == len(has) {
			if balanced(owner, seats, n) {
				best = min(best, moves(has, owner))
			}
			return
		}
		if has[k] != Nobody && seats[has[k]].Away {
			owner[k] = has[k]
			try(k + 1)
			return
		}
		for i := range seats {
			if owner[k] = i; !seats[i].Away {
				try(k + 1)
			}
		}
	}
	try(0)
	return best
}

func randomSeats(r *rand.Rand, n int, weighted bool) []Seat {
	seats := make([]Seat, n)
	for i := range seats {
		seats[i] = Seat{Registration: fmt.Sprintf("m%d~x", i), Weight: 1}
		if weighted {
			seats[i].Weight = 1 + r.IntN(5)
		}
	}
	if r.IntN(2) == 0 {
		for i := range seats {
			seats[i].Zone = string(rune('x' + r.IntN(3)))
			seats[i].Preferred = r.IntN(2) == 0
		}
	}
	return seats
}

func TestAssignIsBalancedWithTheFewestMoves(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		seats := randomSeats(r, 1+r.IntN(4), r.IntN(2) == 0)
		seats[r.IntN(len(seats))].Away = len(seats) > 1 && r.IntN(4) == 0
		has := make([]int, 1+r.IntN(6))
		for k := range has {
			has[k] = r.IntN(len(seats)+1) - 1
		}
		before := slices.Clone(has)
		owner := Slots(has, seats, false)
		if !slices.Equal(has, before) {
			t.Fatal("Slots changed its argument")
		}
		n := 0
		for k, i := range has {
			if i == Nobody || !seats[i].Away {
				n++
			} else if owner[k] != i {
				t.Fatalf("%v, %+v: slot %d of one who is away went to %d", has, seats, k, owner[k])
			}
		}
		if slices.Contains(owner, Nobody) || !balanced(owner, seats, n) {
			t.Fatalf("%v, %+v: %v is not balanced", has, seats, owner)
		}
		if got, want := moves(has, owner), fewest(has, seats); got != want {
			t.Fatalf("%v, %+v: %v has %d moves, %d are enough", has, seats, owner, got, want)
		}
		if again := Slots(owner, seats, false); !slices.Equal(again, owner) {
			t.Fatalf("%v, %+v: what is balanced was moved to %v", owner, seats, again)
		}
	}
}

// feasible reports whether slots can be given out so that each seat has its
// share and none what it gave up.
func feasible(k int, share []int, seats []Seat, slots int) bool {
	if k == slots {
		return true
	}
	for i := range seats {
		if share[i] > 0 && !seats[i].GaveUp[k] {
			share[i]--
			ok := feasible(k+1, share, seats, slots)
			share[i]++
			if ok {
				return true
			}
		}
	}
	return false
}

func TestAssignHeedsWhatWasGivenUp(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	exchanged := 0
	for range 5000 {
		seats := randomSeats(r, 1+r.IntN(4), r.IntN(2) == 0)
		has := make([]int, 1+r.IntN(6))
		for i := range seats {
			seats[i].GaveUp = make(map[int]bool)
			for k := range has {
				seats[i].GaveUp[k] = r.IntN(3) == 0
			}
		}
		for k := range has {
			has[k] = r.IntN(len(seats)+1) - 1
		}
		owner := Slots(has, seats, false)
		all := false // whether somebody would have every slot
		for k, i := range owner {
			wanted := slices.ContainsFunc(seats, func(s Seat) bool { return !s.GaveUp[k] })
			all = all || !wanted
			switch {
			case (i == Nobody) == wanted:
				t.Fatalf("%+v: slot %d has the owner %d", seats, k, i)
			case wanted && seats[i].GaveUp[k]:
				t.Fatalf("%+v: slot %d went to %d, who gave it up", seats, k, i)
			}
		}
		a := &assignment{owner: slices.Clone(has), seats: seats, count: make([]int, len(seats))}
		for k, i := range has {
			if i != Nobody && !seats[i].GaveUp[k] {
				a.count[i]++
			}
		}
		a.target(len(has))
		if !all && feasible(0, slices.Clone(a.share), seats, len(has)) {
			exchanged++
			if !balanced(owner, seats, len(has)) {
				t.Fatalf("%v, %+v: %v is not balanced, though that is possible", has, seats, owner)
			}
		}
	}
	if exchanged < 500 {
		t.Errorf("only %d cases were of use", exchanged)
	}
}
