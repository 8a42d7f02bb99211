package debug

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/partition"
)

// status is a partition of so many slots, whose owners go round.
func status(slots, members int) partition.Status {
	s := partition.Status{Epoch: 7, Slots: make([]partition.SlotStatus, slots)}
	for k := range s.Slots {
		id := fmt.Sprintf("worker-%03d", k%members)
		owner := partition.Holder{ID: id, Registration: id + "~1", Token: 7}
		s.Slots[k] = partition.SlotStatus{Owner: owner, Claims: []partition.Holder{owner}}
	}
	return s
}

// TestTheMostSlots, whose owners change from one to the next, and no slot
// settled: the page is bounded all the same.
func TestTheMostSlots(t *testing.T) {
	s := status(partition.MaxSlots, 300)
	for k := range s.Slots {
		s.Slots[k].Claims = s.Slots[(k+1)%len(s.Slots)].Claims
	}
	began := time.Now()
	p := partitionOf(s)
	var page bytes.Buffer
	if err := renderPage(&page, report{Partitions: []part[partitionPart]{{Name: "p", Data: &p}}}, 0, true); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes in %v", page.Len(), time.Since(began))
	if page.Len() > 2<<20 {
		t.Errorf("the page has %d bytes", page.Len())
	}
	if p.Unsettled != partition.MaxSlots || p.Count != 300 || len(p.Members) != maxMembers || p.More != 200 || len(p.Differences) != maxDifferences || p.MoreDifferences != partition.MaxSlots-maxDifferences {
		t.Errorf("%d unsettled; %d members, %d shown and %d more; %d differences and %d more", p.Unsettled, p.Count, len(p.Members), p.More, len(p.Differences), p.MoreDifferences)
	}
	if len(p.Map.Paths) != 300 || p.Map.Columns*p.Map.Rows < partition.MaxSlots {
		t.Errorf("%d paths, %d by %d", len(p.Map.Paths), p.Map.Columns, p.Map.Rows)
	}
	if n := strings.Count(page.String(), "<text "); n < 4 || n > 64 {
		t.Errorf("%d rows are numbered", n)
	}
}

func TestMapMergesRuns(t *testing.T) {
	one := partitionOf(status(partition.MaxSlots, 1))
	if got := strings.Count(one.Map.Paths[0].D, "M"); got != one.Map.Rows || len(one.Map.Paths[0].D) > 2000 {
		t.Errorf("%d runs for %d rows of one owner", got, one.Map.Rows)
	}
	if one.Map.Moving != "" {
		t.Error("a settled slot is marked")
	}
	if m := one.Members[0]; m.Where != "0–16383" || m.Tokens != "7 ×16384" || m.Planned != partition.MaxSlots {
		t.Errorf("%+v", m)
	}
}

// TestWherePlanAndClaimsDiffer: runs with the same difference are one row.
func TestWherePlanAndClaimsDiffer(t *testing.T) {
	s := status(10, 1)
	owner, rival := s.Slots[0].Owner, partition.Holder{ID: "old", Registration: "old~9", Token: 3}
	s.Slots[2].Claims = []partition.Holder{rival}
	s.Slots[3].Claims = []partition.Holder{rival}
	s.Slots[4].Claims = nil
	s.Slots[6].Claims = []partition.Holder{owner, rival}
	s.Slots[9] = partition.SlotStatus{Claims: []partition.Holder{rival}}
	s.Claimants = []partition.Claimant{{ID: "old", Registration: "old~9", Slots: 4, Leaving: true}}
	p := partitionOf(s)
	var got []string
	for _, d := range p.Differences {
		line := fmt.Sprintf("%d-%d", d.From, d.To)
		if d.Owner != nil {
			line += " " + d.Owner.ID
		}
		for _, c := range d.Claims {
			line += fmt.Sprintf(" by %s/%d", c.ID, c.Token)
		}
		got = append(got, line)
	}
	want := []string{"2-3 worker-000 by old/3", "4-4 worker-000", "6-6 worker-000 by worker-000/7 by old/3", "9-9 by old/3"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	if p.Unsettled != 5 || p.Unowned != 1 || strings.Count(p.Map.Moving, "M") != 5 {
		t.Errorf("%d unsettled, %d unowned, marks %s", p.Unsettled, p.Unowned, p.Map.Moving)
	}
	if m := p.Members[0]; m.ID != "old" || m.Planned != 0 || m.Claimed != 4 || !m.Leaving || m.Where != "" {
		t.Errorf("%+v", m)
	}
	if p.Map.Paths[0].Class != "nobody" {
		t.Errorf("what is nobody's is drawn as %s", p.Map.Paths[0].Class)
	}
}

// TestColours: each of as many members as there are colours has its own, and
// keeps it while others with other first choices come and go.
func TestColours(t *testing.T) {
	used := map[int]bool{}
	for _, m := range partitionOf(status(colourCount, colourCount)).Members {
		used[m.Colour] = true
		if rule := fmt.Sprintf(".c%d{", m.Colour); !strings.Contains(style, rule) {
			t.Errorf("the style sheet lacks %s", rule)
		}
	}
	if len(used) != colourCount {
		t.Errorf("%d colours for %d members", len(used), colourCount)
	}
	if n := len(partitionOf(status(100, 100)).Members); n != 100 {
		t.Errorf("%d of 100 members", n)
	}
	alone := partitionOf(status(1, 1)).Members[0].Colour
	if again := partitionOf(status(1, 1)).Members[0].Colour; again != alone {
		t.Errorf("the colour of one member is %d, then %d", alone, again)
	}
}

func TestRangesAndCounts(t *testing.T) {
	var odd []int
	tokens := map[uint64]int{}
	for k := range 40 {
		odd = append(odd, 2*k)
		tokens[uint64(k)] = 1
	}
	for _, c := range [][2]string{
		{ranges(nil), ""},
		{ranges([]int{3}), "3"},
		{ranges([]int{0, 1, 2, 5, 7, 8}), "0–2, 5, 7–8"},
		{ranges(odd), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22 and 28 more"},
		{counted(map[uint64]int{9: 2, 7: 40}), "9 ×2, 7 ×40"},
		{counted(tokens), "39 ×1, 38 ×1, 37 ×1, 36 ×1, 35 ×1, 34 ×1 and 34 older"},
	} {
		if c[0] != c[1] {
			t.Errorf("%q, want %q", c[0], c[1])
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain ü 日本": "plain ü 日本", "a\x00b\nc": "a\uFFFDb\uFFFDc", "\u202eevil\u2028": "\uFFFDevil\uFFFD", "\xff": "\uFFFD",
		strings.Repeat("ü", 201): strings.Repeat("ü", 200) + "…", strings.Repeat("x", 200): strings.Repeat("x", 200),
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}
