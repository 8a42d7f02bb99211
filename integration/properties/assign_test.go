// Package properties_test states what holds of every plan of package partition,
// for inputs that rapid draws, and shrinks when one fails. It needs no server;
// it stands here because what the root module requires, its tests included,
// would reach everybody's module graph.
package properties_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/quorate/quorate/internal/assign"
	"pgregory.net/rapid"
)

// drawSeats draws seats, of which one at least is there.
func drawSeats(t *rapid.T, most int) []assign.Seat {
	seats := make([]assign.Seat, rapid.IntRange(1, most).Draw(t, "seats"))
	for i := range seats {
		seats[i] = assign.Seat{
			Registration: fmt.Sprintf("m%d~x", i),
			Weight:       rapid.IntRange(1, 5).Draw(t, "weight"),
			Away:         rapid.IntRange(0, 4).Draw(t, "away") == 0,
		}
	}
	seats[rapid.IntRange(0, len(seats)-1).Draw(t, "there")].Away = false
	return seats
}

func drawOwners(t *rapid.T, most int, seats []assign.Seat) []int {
	return rapid.SliceOfN(rapid.IntRange(assign.Nobody, len(seats)-1), 1, most).Draw(t, "has")
}

// share is what one seat has and may have.
type share struct{ has, low, high int }

// shares returns what each seat may have for a plan to be balanced: its part
// by weight of the slots that are to be given out, rounded down or up.
func shares(has []int, seats []assign.Seat) (all []share, spare int) {
	weights, n := 0, len(has)
	for _, s := range seats {
		if !s.Away {
			weights += s.Weight
		}
	}
	for _, i := range has {
		if i != assign.Nobody && seats[i].Away {
			n--
		}
	}
	all = make([]share, len(seats))
	spare = n
	for i, s := range seats {
		for _, owner := range has {
			if owner == i {
				all[i].has++
			}
		}
		if s.Away {
			all[i].low, all[i].high = all[i].has, all[i].has
			continue
		}
		all[i].low = n * s.Weight / weights
		all[i].high = (n*s.Weight + weights - 1) / weights
		spare -= all[i].low
	}
	return all, spare
}

// fewest is a bound from below for the moves of a balanced plan: what has no
// owner has to move, and what a seat has beyond its share, of which the spare
// slots that rounding leaves may be left to it, one to each.
func fewest(has []int, seats []assign.Seat) (n int) {
	all, spare := shares(has, seats)
	for _, i := range has {
		if i == assign.Nobody {
			n++
		}
	}
	for _, s := range all {
		n += max(0, s.has-s.low)
		if s.has > s.low && s.high > s.low && spare > 0 {
			spare--
			n--
		}
	}
	return n
}

func moves(p, q []int) (n int) {
	for k := range p {
		if p[k] != q[k] {
			n++
		}
	}
	return n
}

// unbalanced says which seat has too much or too little, if one has.
func unbalanced(owner, has []int, seats []assign.Seat) string {
	all, _ := shares(has, seats)
	for i, s := range all {
		n := 0
		for _, o := range owner {
			if o == i {
				n++
			}
		}
		if n < s.low || n > s.high {
			return fmt.Sprintf("seat %d has %d slots, its share is %d to %d", i, n, s.low, s.high)
		}
	}
	return ""
}

// tried returns the moves of the best of all assignments that are balanced.
func tried(has []int, seats []assign.Seat) int {
	best, owner := len(has)+1, make([]int, len(has))
	var try func(k int)
	try = func(k int) {
		if k == len(has) {
			if unbalanced(owner, has, seats) == "" {
				best = min(best, moves(has, owner))
			}
			return
		}
		for i, s := range seats {
			if mine := has[k] == i; mine || !s.Away && (has[k] == assign.Nobody || !seats[has[k]].Away) {
				owner[k] = i
				try(k + 1)
			}
		}
	}
	try(0)
	return best
}

// TestFewestMovesOfAll: no balanced assignment has fewer moves, by trying them
// all.
func TestFewestMovesOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seats := drawSeats(t, 4)
		has := drawOwners(t, 6, seats)
		owner := assign.Slots(has, seats, false)
		if why := unbalanced(owner, has, seats); why != "" {
			t.Fatalf("%v: %s", owner, why)
		}
		if got, want := moves(has, owner), tried(has, seats); got != want {
			t.Fatalf("%v has %d moves, %d are enough", owner, got, want)
		}
		if got, want := fewest(has, seats), tried(has, seats); got != want {
			t.Fatalf("the bound is %d, the best of all has %d", got, want)
		}
	})
}

// TestBalancedWithTheFewestMoves is the same for more than can be tried.
func TestBalancedWithTheFewestMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seats := drawSeats(t, 30)
		has := drawOwners(t, 500, seats)
		owner := assign.Slots(has, seats, false)
		if why := unbalanced(owner, has, seats); why != "" {
			t.Fatalf("%v: %s", owner, why)
		}
		if got, want := moves(has, owner), fewest(has, seats); got != want {
			t.Fatalf("%d moves, %d are enough", got, want)
		}
		for k, i := range has {
			if i != assign.Nobody && seats[i].Away && owner[k] != i {
				t.Fatalf("slot %d of one who is away went to %d", k, owner[k])
			}
		}
		if again := assign.Slots(owner, seats, false); !slices.Equal(again, owner) {
			t.Fatalf("what is balanced was moved to %v", again)
		}
	})
}

// TestGivenUp: nobody gets what he gave up, and only what all gave up is
// nobody's.
func TestGivenUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seats := drawSeats(t, 6)
		has := drawOwners(t, 40, seats)
		for i := range seats {
			seats[i].GaveUp = make(map[int]bool)
			for _, k := range rapid.SliceOfDistinct(rapid.IntRange(0, len(has)-1), rapid.ID).Draw(t, "gave up") {
				seats[i].GaveUp[k] = true
			}
		}
		for k, i := range assign.Slots(has, seats, false) {
			switch wanted := slices.ContainsFunc(seats, func(s assign.Seat) bool { return !s.Away && !s.GaveUp[k] }); {
			case has[k] != assign.Nobody && seats[has[k]].Away:
				if i != has[k] {
					t.Fatalf("slot %d of one who is away went to %d", k, i)
				}
			case (i == assign.Nobody) == wanted:
				t.Fatalf("slot %d has the owner %d", k, i)
			case wanted && seats[i].GaveUp[k]:
				t.Fatalf("slot %d went to %d, who gave it up", k, i)
			}
		}
	})
}

// life is a group over its time.
type life struct {
	table assign.Table
	seats []assign.Seat
	epoch uint64
	ids   int
}

// TestLife: whoever joins, leaves, changes its weight or restarts, each plan is
// balanced, has the fewest moves, depends on nothing but the last one and on
// who is there, and changes the tokens of what changes its registration alone.
func TestLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &life{table: assign.Empty(rapid.IntRange(1, 300).Draw(t, "slots"))}
		weighted := rapid.Bool().Draw(t, "weighted")
		weight := func(t *rapid.T) int {
			if !weighted {
				return 1
			}
			return rapid.IntRange(1, 1000).Draw(t, "weight")
		}
		// of makes an action of what one does who is there.
		of := func(action func(t *rapid.T, i int)) func(*rapid.T) {
			return func(t *rapid.T) {
				if len(l.seats) > 0 {
					action(t, rapid.IntRange(0, len(l.seats)-1).Draw(t, "who"))
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				l.ids++
				l.seats = append(l.seats, assign.Seat{Registration: fmt.Sprintf("m%d~%d", l.ids, l.ids), Weight: weight(t)})
			},
			"leave":  of(func(_ *rapid.T, i int) { l.seats = slices.Delete(l.seats, i, i+1) }),
			"weight": of(func(t *rapid.T, i int) { l.seats[i].Weight = weight(t) }),
			"restart": of(func(_ *rapid.T, i int) {
				l.ids++
				l.seats[i].Registration = fmt.Sprintf("%s~%d", assign.IDOf(l.seats[i].Registration), l.ids)
			}),
			"": func(t *rapid.T) {
				if len(l.seats) > 0 {
					l.plan(t)
				}
			},
		})
	})
}

// plan plans, and checks the plan.
func (l *life) plan(t *rapid.T) {
	l.epoch++
	before := l.table
	l.table = before.Next(l.epoch, l.seats, false, false)
	shuffled := rapid.Permutation(l.seats).Draw(t, "order")
	if again := before.Next(l.epoch, shuffled, false, false); !reflect.DeepEqual(again, l.table) {
		t.Fatalf("the plan depends on the order of the members: %v, %v", l.table, again)
	}
	if again := l.table.Next(l.epoch+1, l.seats, false, false); !again.Same(l.table) {
		t.Fatalf("the plan after %v is %v, though nothing has changed", l.table, again)
	}
	has, owner := l.owners(before), l.owners(l.table)
	if why := unbalanced(owner, has, l.seats); why != "" {
		t.Fatal(why)
	}
	if got, want := moves(has, owner), fewest(has, l.seats); got != want || got != before.Moved(l.table) {
		t.Fatalf("%d slots move, or %d, %d are enough", got, before.Moved(l.table), want)
	}
	for k, s := range l.table.Slots {
		stays := before.OwnerOf(k) == l.table.OwnerOf(k)
		if stays && s.Token != before.Slots[k].Token || !stays && s.Token != l.epoch {
			t.Fatalf("slot %d, of %q and then of %q, has the token %d in epoch %d, and had %d", k, before.OwnerOf(k), l.table.OwnerOf(k), s.Token, l.epoch, before.Slots[k].Token)
		}
	}
}

// owners returns which of the seats, by ID, has each slot.
func (l *life) owners(table assign.Table) []int {
	owner := make([]int, len(table.Slots))
	for k := range owner {
		id := assign.IDOf(table.OwnerOf(k))
		owner[k] = slices.IndexFunc(l.seats, func(s assign.Seat) bool { return assign.IDOf(s.Registration) == id })
	}
	return owner
}
