package counter

import (
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/removable"
)

// The member whose last commit is the oldest has the next turn.
func TestRing(t *testing.T) {
	doc := counterDocument{Recent: []entry{{Writer: "a", Again: true}, {Writer: "b"}, {Writer: "c", Again: true}, {Writer: "d", Again: true}}}
	for _, test := range []struct {
		writer        string
		left          int
		others, ahead int
		member        bool
	}{
		{"d", 0, 2, 0, true},
		{"c", 0, 2, 1, true},
		{"a", 0, 2, 2, true},
		{"b", 0, 3, 0, false},
		{"d", 5, 1, 0, true}, // the turn of a is not over
		{"new", 0, 3, 0, false},
	} {
		doc.Turn.Left = test.left
		others, ahead, member := doc.ring(test.writer)
		if !test.member {
			ahead = 0
		}
		if others != test.others || ahead != test.ahead || member != test.member {
			t.Errorf("for %s with %d left: %d others, %d ahead, %t", test.writer, test.left, others, ahead, member)
		}
	}
	if got := doc.first(2); !slices.Equal(got, []string{"d", "c"}) {
		t.Errorf("the next two are %v", got)
	}
}

// A turn waits for the one before it, for a member that does not come only as
// long as its grace, and for nobody who is not a member.
func TestPause(t *testing.T) {
	const ms = time.Millisecond
	ring := []entry{{Writer: "a", Again: true}, {Writer: "b"}, {Writer: "c", Again: true}, {Writer: "d", Again: true}}
	for _, test := range []struct {
		name   string
		writer string
		turn   turn
		still  time.Duration // for which the document has not changed
		waits  bool
		passed []string
	}{
		{"next", "d", turn{}, 0, false, nil},
		{"next, the turn before is not over", "d", turn{Left: 3}, 0, true, nil},
		{"next, the holder has stopped", "d", turn{Left: 3}, grace * ms, false, []string{"a"}},
		{"next, others may join first", "d", turn{Open: true}, 0, true, nil},
		{"next, nobody joined", "d", turn{Open: true}, breather * ms, false, nil},
		{"second", "c", turn{}, 0, true, nil},
		{"second, the next does not come", "c", turn{}, grace * ms, false, []string{"d"}},
		{"outside, between two turns", "e", turn{}, 0, false, nil},
		{"outside, within a turn", "e", turn{Left: 3}, 0, true, nil},
		{"outside, the holder has stopped", "e", turn{Left: 3}, grace * ms, false, nil},
	} {
		now := time.Now()
		version := backend.Version{Number: 7}
		doc := &base{counterDocument{Turn: test.turn, Recent: ring}, removable.Look{Key: "k"}, version}
		doc.Turn.Pace = ms.Microseconds()
		u := turns{writer: test.writer, seen: version, seenAt: now.Add(-test.still), since: now}
		wait := u.pause(doc, now, false)
		if (wait > 0) != test.waits || !slices.Equal(u.passed, test.passed) {
			t.Errorf("%s: waits %v and passes %v", test.name, wait, u.passed)
		}
	}
}

// A member that let its turn pass is no member in the document that follows.
func TestPassedIsStruckOff(t *testing.T) {
	u := turns{writer: "c", steady: true, member: true, competes: true, passed: []string{"d"}, ended: time.Now(), took: time.Millisecond}
	doc := counterDocument{
		Turn:   turn{Pace: 1000},
		Recent: []entry{{Writer: "c"}, {Writer: "a", Again: true}, {Writer: "d", Again: true}},
	}
	u.mark(&doc)
	want := []entry{{Writer: "c", Again: true}, {Writer: "a", Again: true}, {Writer: "d"}}
	if !slices.Equal(doc.Recent, want) {
		t.Errorf("the writers are %+v", doc.Recent)
	}
	if doc.Turn.Left != longestTurn-1 || doc.Turn.Open {
		t.Errorf("the turn is %+v", doc.Turn)
	}
}

// Turns get shorter where all members would not have one within cycleTime.
func TestTurnOf(t *testing.T) {
	for _, test := range []struct {
		members int
		pace    time.Duration
		want    int
	}{
		{1, minCommit, longestTurn},
		{2, 3 * time.Millisecond, longestTurn},
		{32, 3 * time.Millisecond, 9},
		{32, 12 * time.Millisecond, 1},
		{64, longCommit, 1},
	} {
		if got := turnOf(test.members, test.pace); got != test.want {
			t.Errorf("%d members at %v: %d commits", test.members, test.pace, got)
		}
	}
}
