package partition

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
)

func entryOf(value []byte) backend.Entry { return backend.Entry{Key: "k", Value: value} }

// balanced reports whether every seat that is not away has its share of the n
// slots to give out, rounded down or up.
func balanced(owner []int, seats []seat, n int) bool {
	weights := 0
	for _, s := range seats {
		if !s.away {
			weights += s.weight
		}
	}
	for i, s := range seats {
		if s.away {
			continue
		}
		count := 0
		for _, o := range owner {
			if o == i {
				count++
			}
		}
		if lo := n * s.weight / weights; count != lo && (n*s.weight%weights == 0 || count != lo+1) {
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
func fewest(has []int, seats []seat) int {
	best := len(has) + 1
	owner := make([]int, len(has))
	n := 0
	for _, i := range has {
		if i == nobody || !seats[i].away {
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
		if has[k] != nobody && seats[has[k]].away {
			owner[k] = has[k]
			try(k + 1)
			return
		}
		for i := range seats {
			if owner[k] = i; !seats[i].away {
				try(k + 1)
			}
		}
	}
	try(0)
	return best
}

func randomSeats(r *rand.Rand, n int, weighted bool) []seat {
	seats := make([]seat, n)
	for i := range seats {
		seats[i] = seat{registration: fmt.Sprintf("m%d~x", i), weight: 1}
		if weighted {
			seats[i].weight = 1 + r.IntN(5)
		}
	}
	return seats
}

func TestAssignIsBalancedWithTheFewestMoves(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		seats := randomSeats(r, 1+r.IntN(4), r.IntN(2) == 0)
		seats[r.IntN(len(seats))].away = len(seats) > 1 && r.IntN(4) == 0
		has := make([]int, 1+r.IntN(6))
		for k := range has {
			has[k] = r.IntN(len(seats)+1) - 1
		}
		before := slices.Clone(has)
		owner := assign(has, seats)
		if !slices.Equal(has, before) {
			t.Fatal("assign changed its argument")
		}
		n := 0
		for k, i := range has {
			if i == nobody || !seats[i].away {
				n++
			} else if owner[k] != i {
				t.Fatalf("%v, %+v: slot %d of one who is away went to %d", has, seats, k, owner[k])
			}
		}
		if slices.Contains(owner, nobody) || !balanced(owner, seats, n) {
			t.Fatalf("%v, %+v: %v is not balanced", has, seats, owner)
		}
		if got, want := moves(has, owner), fewest(has, seats); got != want {
			t.Fatalf("%v, %+v: %v has %d moves, %d are enough", has, seats, owner, got, want)
		}
		if again := assign(owner, seats); !slices.Equal(again, owner) {
			t.Fatalf("%v, %+v: what is balanced was moved to %v", owner, seats, again)
		}
	}
}

// feasible reports whether slots can be given out so that each seat has its
// share and none what it gave up.
func feasible(k int, share []int, seats []seat, slots int) bool {
	if k == slots {
		return true
	}
	for i := range seats {
		if share[i] > 0 && !seats[i].gaveUp[k] {
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
			seats[i].gaveUp = make(map[int]bool)
			for k := range has {
				seats[i].gaveUp[k] = r.IntN(3) == 0
			}
		}
		for k := range has {
			has[k] = r.IntN(len(seats)+1) - 1
		}
		owner := assign(has, seats)
		all := false // whether somebody would have every slot
		for k, i := range owner {
			wanted := slices.ContainsFunc(seats, func(s seat) bool { return !s.gaveUp[k] })
			all = all || !wanted
			switch {
			case (i == nobody) == wanted:
				t.Fatalf("%+v: slot %d has the owner %d", seats, k, i)
			case wanted && seats[i].gaveUp[k]:
				t.Fatalf("%+v: slot %d went to %d, who gave it up", seats, k, i)
			}
		}
		a := &assignment{owner: slices.Clone(has), seats: seats, count: make([]int, len(seats))}
		for k, i := range has {
			if i != nobody && !seats[i].gaveUp[k] {
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

func seatsOf(registrations ...string) (seats []seat) {
	for _, r := range registrations {
		seats = append(seats, seat{registration: r, weight: 1})
	}
	return seats
}

func movedBetween(p, q *plan) (n int) {
	for k := range p.slots {
		if idOf(p.ownerOf(k)) != idOf(q.ownerOf(k)) {
			n++
		}
	}
	return n
}

func TestNextKeepsTokensOfWhatStays(t *testing.T) {
	p := empty("g", 12).next(planID{1, "a"}, seatsOf("a~1", "b~1"), false)
	q := p.next(planID{5, "b"}, seatsOf("c~1", "b~1", "a~1"), false)
	if n := movedBetween(p, q); n != 4 {
		t.Errorf("one that joins two moves %d of 12 slots, want 4", n)
	}
	for k := range q.slots {
		want := uint64(1)
		if q.ownerOf(k) != p.ownerOf(k) {
			want = 5
		}
		if q.slots[k].token != want {
			t.Errorf("slot %d, from %s to %s, has the token %d, want %d", k, p.ownerOf(k), q.ownerOf(k), q.slots[k].token, want)
		}
	}
	for k, s := range p.next(planID{9, "c"}, seatsOf("a~1", "b~1"), true).slots {
		if s.token != 9 {
			t.Errorf("slot %d has the token %d in a plan with fresh ones", k, s.token)
		}
	}
}

func TestNextKnowsWhoCameBack(t *testing.T) {
	p := empty("g", 10).next(planID{1, "a"}, seatsOf("a~1", "b~1", "c~1"), false)
	q := p.next(planID{2, "b"}, seatsOf("a~1", "b~2", "c~1"), false)
	if n := movedBetween(p, q); n != 0 {
		t.Errorf("%d slots moved to other members", n)
	}
	for k := range q.slots {
		if renewed := q.slots[k].token == 2; renewed != (q.ownerOf(k) == "b~2") {
			t.Errorf("slot %d of %s has the token %d", k, q.ownerOf(k), q.slots[k].token)
		}
	}
}

// TestMovesOverALife: joins, leaves and restarts one at a time move no more
// than one's share, rounded up, and each plan follows from the last alone.
func TestMovesOverALife(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		slots := 1 + r.IntN(200)
		p := empty("g", slots)
		var present []string
		for epoch := uint64(1); epoch < 30; epoch++ {
			largest := len(present)
			switch i := r.IntN(3); {
			case i == 0 && len(present) > 1:
				present = slices.Delete(present, 0, 1)
			case i == 1 && len(present) > 0:
				at := r.IntN(len(present))
				present[at] = idOf(present[at]) + fmt.Sprintf("~%d", epoch)
				largest = 0
			default:
				present = append(present, fmt.Sprintf("m%d~%d", epoch, epoch))
			}
			seats := seatsOf(present...)
			q := p.next(planID{epoch, "n"}, seats, false)
			slices.Reverse(seats)
			if !reflect.DeepEqual(q, p.next(planID{epoch, "n"}, seats, false)) {
				t.Fatal("the plan depends on the order of the members")
			}
			allowed := 0
			if largest > 0 {
				n := max(1, min(largest, len(present)))
				allowed = (slots + n - 1) / n
			}
			if got := movedBetween(p, q); epoch > 1 && got > allowed {
				t.Fatalf("%d slots: %d moved, want %d at most", slots, got, allowed)
			}
			p = q
		}
	}
}

func TestLargePlanIsSmallAndQuick(t *testing.T) {
	const members = 256
	var seats []seat
	for i := range members {
		seats = append(seats, seat{registration: strings.Repeat("%2F", 99) + fmt.Sprintf("%03d~%026d", i, i), weight: 1})
	}
	p := empty("g", MaxSlots).next(planID{1, strings.Repeat("n", 26)}, seats, false)
	p.line = strings.Repeat("l", 26)
	began := time.Now()
	q := p.next(planID{1 << 34, p.nonce}, seats[1:], false)
	took := time.Since(began)
	q.line = p.line
	value := q.encode(seats[0].registration)
	read, err := decodePlan(entryOf(value))
	if err != nil || !reflect.DeepEqual(read, q) {
		t.Fatalf("it is not read as written: %v", err)
	}
	if len(value) > driver.MaxTxnBytes-8<<10 {
		t.Errorf("it has %d bytes, too many for a commit", len(value))
	}
	if n := movedBetween(p, q); n != MaxSlots/members {
		t.Errorf("%d slots move when one of %d leaves, want %d", n, members, MaxSlots/members)
	}
	if took > 500*time.Millisecond { // a few, undisturbed; the race detector and neighbours slow it down
		t.Errorf("planning took %v", took)
	}
	t.Logf("%d bytes, planned in %v", len(value), took)
}

func BenchmarkNext(b *testing.B) {
	var all []string
	for i := range 256 {
		all = append(all, fmt.Sprintf("member-%d~x", i))
	}
	p := empty("g", MaxSlots).next(planID{1, "n"}, seatsOf(all...), false)
	for b.Loop() {
		p.next(planID{2, "m"}, seatsOf(all[1:]...), false)
	}
}

// TestGolden: what is in the store is read by other versions of the library.
func TestGolden(t *testing.T) {
	p := &plan{
		planID: planID{7, "N"}, group: "g", line: "L", members: []string{"a~1", "b~2"}, weights: []int{1, 3},
		slots: []assigned{{0, 7}, {1, 3}, {nobody, 5}, {1, 7}},
	}
	const planText = `{"format":1,"group":"g","slots":4,"epoch":7,"nonce":"N","line":"L","proposer":"a~1","members":["a~1","b~2"],"weights":[1,3],"table":"AQACBAACAgA="}`
	if got := string(p.encode("a~1")); got != planText {
		t.Errorf("plan:\n%s, want\n%s", got, planText)
	}
	if read, err := decodePlan(entryOf([]byte(planText))); err != nil || !reflect.DeepEqual(read, p) {
		t.Errorf("plan is read as %+v, %v", read, err)
	}
	c := &claims{
		process: "P", write: 4, epoch: 9, weight: 2, leaving: true,
		slots: map[int]uint64{3: 7, 300: 9}, gaveUp: map[int]bool{5: true, 6: true},
	}
	const claimsText = `{"format":1,"process":"P","write":4,"epoch":9,"weight":2,"leaving":true,"count":2,"slots":"AwepAgk=","gave_up":"BQE="}`
	if got := string(c.encode()); got != claimsText {
		t.Errorf("claims:\n%s, want\n%s", got, claimsText)
	}
	if read, err := decodeClaims(entryOf([]byte(claimsText))); err != nil || !reflect.DeepEqual(read, c) {
		t.Errorf("claims are read as %+v, %v", read, err)
	}
	k, err := newKeys("a/b")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{k.plan, k.mark("L"), k.claimsOf("a~1")}
	want := []string{"partition/a%2Fb/plan", "partition/a%2Fb/line/L", "partition/a%2Fb/claims/a~1"}
	if !slices.Equal(got, want) {
		t.Errorf("keys are %q, want %q", got, want)
	}
}

func TestBrokenDocumentsAreRefused(t *testing.T) {
	p := empty("g", 3).next(planID{2, "n"}, seatsOf("a~1"), false)
	p.line = "l"
	whole := string(p.encode("a~1"))
	for what, with := range map[string][2]string{
		"format":        {`"format":1`, `"format":2`},
		"slots":         {`"slots":3`, `"slots":4`},
		"fewer slots":   {`"slots":3`, `"slots":2`},
		"no slots":      {`"slots":3`, `"slots":0`},
		"too many":      {`"slots":3`, `"slots":16385`},
		"members":       {`"a~1"]`, `"a~1","b~1"]`},
		"no members":    {`"members":["a~1"],"weights":[1]`, `"members":[],"weights":[]`},
		"epoch":         {`"epoch":2`, `"epoch":2,"table":"AQMBAAEA"`},
		"nonce":         {`"nonce":"n"`, `"nonce":""`},
		"line":          {`"line":"l"`, `"line":""`},
		"not an object": {`{`, `[`},
	} {
		text := strings.Replace(whole, with[0], with[1], 1)
		if what == "epoch" {
			text = strings.Replace(text, `,"table":"AQABAAEA"}`, "}", 1)
		}
		if text == whole {
			t.Fatalf("%s: nothing was replaced in %s", what, whole)
		}
		if _, err := decodePlan(entryOf([]byte(text))); err == nil {
			t.Errorf("%s: a plan is read from %s", what, text)
		}
	}
	c := &claims{weight: 1, slots: map[int]uint64{1: 2}, gaveUp: map[int]bool{2: true}}
	whole = string(c.encode())
	for what, with := range map[string][2]string{
		"format":       {`"format":1`, `"format":0`},
		"weight":       {`"weight":1`, `"weight":0`},
		"count":        {`"count":1`, `"count":2`},
		"no token":     {`"slots":"AQI="`, `"slots":"AQ=="`},
		"large slot":   {`"slots":"AQI="`, `"slots":"gIABAQ=="`},
		"large gaveup": {`"gave_up":"Ag=="`, `"gave_up":"gIAB"`},
		"torn":         {`"gave_up":"Ag=="`, `"gave_up":"gg=="`},
	} {
		text := strings.Replace(whole, with[0], with[1], 1)
		if text == whole {
			t.Fatalf("%s: nothing was replaced in %s", what, whole)
		}
		if _, err := decodeClaims(entryOf([]byte(text))); err == nil {
			t.Errorf("%s: claims are read from %s", what, text)
		}
	}
}

// TestSlotOfGolden: the slots of keys never change. The hashes can be had from
// sha256sum.
func TestSlotOfGolden(t *testing.T) {
	for _, c := range []struct {
		key   string
		slots int
		want  int
	}{
		{"", 256, 0x14}, // e3b0c44298fc1c14...
		{"order/7", 16384, 12960},
		{"order/7", 100, 12},
		{"ключ", 100, 24},
		{"a", 1, 0},
	} {
		if got := SlotOf(c.key, c.slots); got != c.want {
			t.Errorf("SlotOf(%q, %d) = %d, want %d", c.key, c.slots, got, c.want)
		}
	}
	count := make([]int, 64)
	for i := range 64000 {
		count[SlotOf(fmt.Sprint("customer-", i), 64)]++
	}
	if lo, hi := slices.Min(count), slices.Max(count); lo < 850 || hi > 1150 {
		t.Errorf("of 64,000 keys over 64 slots one has %d, another %d", lo, hi)
	}
}
