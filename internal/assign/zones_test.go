package assign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/seeds"
)

// together counts the slots that have the next one in the same zone.
func together(owner []int, seats []Seat) (n int) {
	for k := range owner[1:] {
		if seats[owner[k]].Zone == seats[owner[k+1]].Zone {
			n++
		}
	}
	return n
}

func inZones(members int, zones ...string) (seats []Seat) {
	for i := range members {
		seats = append(seats, Seat{Registration: fmt.Sprintf("m%03d~x", i), Weight: 1, Zone: zones[i%len(zones)]})
	}
	return seats
}

func nobody(n int) []int { return slices.Repeat([]int{Nobody}, n) }

func TestNeighboursAreInDifferentZones(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		seats := inZones(2+r.IntN(8), "x", "y", "z")
		slots := 1 + r.IntN(60)
		owner := Slots(nobody(slots), seats, false)
		largest := make(map[string]int)
		for _, i := range owner {
			largest[seats[i].Zone]++
		}
		most := 0
		for _, n := range largest {
			most = max(most, n)
		}
		if got, want := together(owner, seats), max(0, 2*most-slots-1); got != want {
			t.Fatalf("%d slots, %+v: in %v %d have a neighbour in their zone, want %d", slots, seats, owner, got, want)
		}
	}
}

// A member that joins takes slots that have a neighbour in their zone first.
func TestCrowdedSlotsMoveFirst(t *testing.T) {
	seats := append(inZones(2, "x", "y"), Seat{Registration: "n~x", Weight: 1, Zone: "z"})
	has := []int{0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1}
	owner := Slots(has, seats, false)
	if n := together(owner, seats); n > 1 { // of 4
		t.Errorf("%v: %d slots have a neighbour in their zone", owner, n)
	}
	if n := moves(has, owner); n != 4 {
		t.Errorf("%v: %d slots moved, want 4", owner, n)
	}
}

// If still, what has an owner stays; the rest goes where there is room.
func TestStillMovesOnlyWhatHasNoOwner(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 2000 {
		seats := randomSeats(r, 1+r.IntN(5), true)
		has := make([]int, 1+r.IntN(20))
		for k := range has {
			has[k] = r.IntN(len(seats)+1) - 1
		}
		owner := Slots(has, seats, true)
		n, weights := len(has), 0
		for _, s := range seats {
			weights += s.Weight
		}
		got, gained := make([]int, len(seats)), make([]int, len(seats))
		for k, i := range owner {
			got[i]++
			switch has[k] {
			case Nobody:
				gained[i]++
			case i:
			default:
				t.Fatalf("slot %d moved from %d to %d", k, has[k], i)
			}
		}
		for i, s := range seats {
			if gained[i] > 0 && got[i] > n*s.Weight/weights+1 {
				t.Fatalf("%v to %v: seat %d got more than its share", has, owner, i)
			}
		}
	}
}

func TestPreferredSeatsAreFilledFirst(t *testing.T) {
	seats := inZones(4, "x")
	seats[2].Preferred = true
	has := []int{0, 0, 0, 1, 1, 1, 3, 3, 3, Nobody, Nobody, Nobody}
	want := []int{0, 0, 0, 1, 1, 1, 3, 3, 3, 2, 2, 2}
	if owner := Slots(has, seats, true); !slices.Equal(owner, want) {
		t.Errorf("%v, want %v", owner, want)
	}
}

func TestPlanningIsQuick(t *testing.T) {
	const slots, members, want = 16384, 256, 10 * time.Millisecond
	seats := inZones(members, "x", "y", "z")
	first := Empty(slots).Next(1, seats, false, false)
	best := time.Hour
	for i := 0; i < 200 && best > want; i++ { // until it was undisturbed
		began := time.Now()
		Empty(slots).Next(1, seats, false, false)
		took := time.Since(began)
		began = time.Now()
		first.Next(2, seats[1+i%100:], false, false)
		best = min(best, max(took, time.Since(began)))
	}
	if best > want && !seeds.RaceDetector {
		t.Errorf("planning took %v, want %v at most", best, want)
	}
	t.Logf("%d slots over %d members in %v", slots, members, best)
}
