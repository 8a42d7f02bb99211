package assign

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func seatsOf(registrations ...string) (seats []Seat) {
	for _, r := range registrations {
		seats = append(seats, Seat{Registration: r, Weight: 1})
	}
	return seats
}

func TestNextKeepsTokensOfWhatStays(t *testing.T) {
	p := Empty(12).Next(1, seatsOf("a~1", "b~1"), false, false)
	q := p.Next(5, seatsOf("c~1", "b~1", "a~1"), false, false)
	if n := p.Moved(q); n != 4 {
		t.Errorf("one that joins two moves %d of 12 slots, want 4", n)
	}
	for k := range q.Slots {
		want := uint64(1)
		if q.OwnerOf(k) != p.OwnerOf(k) {
			want = 5
		}
		if q.Slots[k].Token != want {
			t.Errorf("slot %d, from %s to %s, has the token %d, want %d", k, p.OwnerOf(k), q.OwnerOf(k), q.Slots[k].Token, want)
		}
	}
	for k, s := range p.Next(9, seatsOf("a~1", "b~1"), true, false).Slots {
		if s.Token != 9 {
			t.Errorf("slot %d has the token %d in a plan with fresh ones", k, s.Token)
		}
	}
}

func TestNextKnowsWhoCameBack(t *testing.T) {
	p := Empty(10).Next(1, seatsOf("a~1", "b~1", "c~1"), false, false)
	q := p.Next(2, seatsOf("a~1", "b~2", "c~1"), false, false)
	if n := p.Moved(q); n != 0 {
		t.Errorf("%d slots moved to other members", n)
	}
	for k := range q.Slots {
		if renewed := q.Slots[k].Token == 2; renewed != (q.OwnerOf(k) == "b~2") {
			t.Errorf("slot %d of %s has the token %d", k, q.OwnerOf(k), q.Slots[k].Token)
		}
	}
}

// TestMovesOverALife: joins, leaves and restarts one at a time move no more
// than one's share, rounded up, and each plan follows from the last alone.
func TestMovesOverALife(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		slots := 1 + r.IntN(200)
		p := Empty(slots)
		var present []string
		for epoch := uint64(1); epoch < 30; epoch++ {
			largest := len(present)
			switch i := r.IntN(3); {
			case i == 0 && len(present) > 1:
				present = slices.Delete(present, 0, 1)
			case i == 1 && len(present) > 0:
				at := r.IntN(len(present))
				present[at] = IDOf(present[at]) + fmt.Sprintf("~%d", epoch)
				largest = 0
			default:
				present = append(present, fmt.Sprintf("m%d~%d", epoch, epoch))
			}
			seats := seatsOf(present...)
			q := p.Next(epoch, seats, false, false)
			slices.Reverse(seats)
			if !reflect.DeepEqual(q, p.Next(epoch, seats, false, false)) {
				t.Fatal("the plan depends on the order of the members")
			}
			allowed := 0
			if largest > 0 {
				n := max(1, min(largest, len(present)))
				allowed = (slots + n - 1) / n
			}
			if got := p.Moved(q); epoch > 1 && got > allowed {
				t.Fatalf("%d slots: %d moved, want %d at most", slots, got, allowed)
			}
			p = q
		}
	}
}
