package partition

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/assign"
)

func entryOf(value []byte) backend.Entry { return backend.Entry{Key: "k", Value: value} }

func seatsOf(registrations ...string) (seats []assign.Seat) {
	for _, r := range registrations {
		seats = append(seats, assign.Seat{Registration: r, Weight: 1})
	}
	return seats
}

func TestLargePlanIsSmallAndQuick(t *testing.T) {
	const members = 256
	var seats []assign.Seat
	for i := range members {
		seats = append(seats, assign.Seat{Registration: strings.Repeat("%2F", 99) + fmt.Sprintf("%03d~%026d", i, i), Weight: 1})
	}
	p := empty("g", MaxSlots).next(planID{1, strings.Repeat("n", 26)}, seats, false, false)
	p.line = strings.Repeat("l", 26)
	began := time.Now()
	q := p.next(planID{1 << 34, p.nonce}, seats[1:], false, false)
	took := time.Since(began)
	q.line = p.line
	value := q.encode(seats[0].Registration)
	read, err := decodePlan(entryOf(value))
	if err != nil || !reflect.DeepEqual(read, q) {
		t.Fatalf("it is not read as written: %v", err)
	}
	if len(value) > driver.MaxTxnBytes-8<<10 {
		t.Errorf("it has %d bytes, too many for a commit", len(value))
	}
	if n := p.Moved(q.Table); n != MaxSlots/members {
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
	p := empty("g", MaxSlots).next(planID{1, "n"}, seatsOf(all...), false, false)
	for b.Loop() {
		p.next(planID{2, "m"}, seatsOf(all[1:]...), false, false)
	}
}

// TestGolden: what is in the store is read by other versions of the library.
func TestGolden(t *testing.T) {
	p := &plan{
		planID: planID{7, "N"}, group: "g", line: "L", Table: assign.Table{
			Members: []string{"a~1", "b~2"}, Weights: []int{1, 3},
			Slots: []assign.Slot{{Owner: 0, Token: 7}, {Owner: 1, Token: 3}, {Owner: assign.Nobody, Token: 5}, {Owner: 1, Token: 7}},
		},
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
	if got := string(encode(markDocument{Proposer: "a~1"})); got != `{"format":1,"proposer":"a~1"}` {
		t.Errorf("a mark is %s", got)
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
	p := empty("g", 3).next(planID{2, "n"}, seatsOf("a~1"), false, false)
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
