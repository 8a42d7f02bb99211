package office

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/backend"
)

// TestDecide is the table of a candidate's steps: each case adds to a free
// office with a clean mark what the step is for.
func TestDecide(t *testing.T) {
	entry := func(nonce string) waiter { return waiter{Entry: backend.Entry{Key: "queue/" + nonce, Lease: "s"}} }
	marks := func(number uint64, clean bool) []mark {
		return []mark{{markName: markName{tenureID: tenureID{number, "old"}}, doc: markDocument{Clean: clean}}}
	}
	leader := func(number uint64, nonce, lease string) leaderKey {
		return leaderKey{exists: true, entry: backend.Entry{Lease: lease}, doc: leaderDocument{tenureID: tenureID{number, nonce}}}
	}
	many := marks(3, true)
	for len(many) <= maxMarks {
		many = append(many, marks(1, true)...)
	}
	mine := tenureID{4, "i-2"}
	own := []mark{{markName: markName{tenureID: mine}}}
	for _, c := range []struct {
		name  string
		alter func(*position, *round, *seat)
		want  step
	}{
		{"free, nobody waits", func(*position, *round, *seat) {}, takeAtOnce},
		{"no mark", func(p *position, r *round, s *seat) { s.marks, p.highest = nil, nil }, join},
		{"no mark, at the head", func(p *position, r *round, s *seat) {
			p.state, r.queue, s.marks, p.highest = waiting, []waiter{entry("i-2")}, nil, nil
		}, raise},
		{"no mark, but a term is remembered", func(_ *position, r *round, s *seat) { s.marks = nil }, raise},
		{"a higher term is remembered", func(p *position, _ *round, s *seat) { p.highest[0].Number = 4 }, raise},
		{"too many marks", func(_ *position, r *round, s *seat) { s.marks = many }, join},
		{"too many marks, at the head", func(p *position, r *round, s *seat) {
			p.state, r.queue, s.marks = waiting, []waiter{entry("i-2")}, many
		}, dropMarks},
		{"an earlier campaign leads", func(_ *position, r *round, s *seat) { s.leader = leader(3, "i-1", "s") }, clearStray},
		{"an earlier session leads", func(_ *position, r *round, s *seat) { s.leader = leader(3, "i-1", "other") }, join},
		{"it leads", func(p *position, r *round, s *seat) {
			s.leader, s.marks, p.highest = leader(4, "i-2", "s"), own, []tenureID{mine}
		}, recognize},
		{"it leads, with an entry", func(p *position, r *round, s *seat) {
			s.leader, s.marks, p.highest, r.queue = leader(4, "i-2", "s"), own, []tenureID{mine}, []waiter{entry("i-2")}
		}, leave},
		{"it leads without a mark", func(p *position, r *round, s *seat) {
			s.leader, p.highest = leader(3, "i-2", "s"), []tenureID{{3, "i-2"}}
		}, startAnew},
		{"it leads with a number that another has", func(p *position, r *round, s *seat) {
			s.leader, s.marks, p.highest = leader(4, "i-2", "s"), own, []tenureID{{4, "else"}}
		}, startAnew},
		{"a take in doubt", func(p *position, r *round, s *seat) { p.doubt.marks = s.marks }, settleDoubt},
		{"the entry is gone", func(p *position, _ *round, s *seat) { p.state = waiting }, startAnew},
		{"it has tried", func(p *position, _ *round, s *seat) { p.state = queueing }, join},
		{"others wait", func(_ *position, r *round, s *seat) { r.queue = []waiter{entry("x")} }, join},
		{"taken", func(_ *position, r *round, s *seat) { s.leader = leader(3, "x", "other") }, join},
		{"Strict, not clean", func(p *position, r *round, s *seat) { p.strict, s.marks = true, marks(3, false) }, join},
		{"Strict, clean", func(p *position, _ *round, s *seat) { p.strict = true }, takeAtOnce},
		{"behind another", func(p *position, r *round, s *seat) {
			p.state, r.queue = waiting, []waiter{entry("x"), entry("y"), entry("i-2")}
		}, waitBehind},
		{"at the head, taken", func(p *position, r *round, s *seat) {
			p.state, r.queue, s.leader = waiting, []waiter{entry("i-2")}, leader(3, "x", "other")
		}, waitAtHead},
		{"at the head, free", func(p *position, r *round, s *seat) {
			p.state, r.queue = waiting, []waiter{entry("i-2"), entry("x")}
		}, takeInTurn},
		{"a priority that has changed", func(p *position, r *round, s *seat) {
			p.state, p.rank, r.queue = waiting, 1, []waiter{entry("i-2")}
		}, rerank},
		{"named, behind others", func(p *position, r *round, s *seat) {
			p.state, r.queue, s.marks[0].doc.Next = waiting, []waiter{entry("x"), entry("y"), entry("i-2")}, "i-2"
		}, takeInTurn},
		{"named, taken", func(p *position, r *round, s *seat) {
			p.state, r.queue, s.marks[0].doc.Next = waiting, []waiter{entry("x"), entry("y"), entry("i-2")}, "i-2"
			s.leader = leader(3, "x", "other")
		}, waitBehind},
		{"at the head, another is named and waits", func(p *position, r *round, s *seat) {
			p.state, r.queue, s.marks[0].doc.Next = waiting, []waiter{entry("i-2"), entry("x"), entry("y")}, "y"
		}, waitBehind},
		{"at the head, another is named and is gone", func(p *position, r *round, s *seat) {
			p.state, r.queue, s.marks[0].doc.Next = waiting, []waiter{entry("i-2"), entry("x")}, "z"
		}, takeInTurn},
		{"behind, another is named and waits", func(p *position, r *round, s *seat) {
			p.state, r.queue, s.marks[0].doc.Next = waiting, []waiter{entry("x"), entry("y"), entry("i-2")}, "x"
		}, waitBehind},
	} {
		p := &position{
			nonce: "i-2", entry: "queue/i-2", session: "s", highest: []tenureID{{3, "old"}},
			stray: func(nonce string) bool { return strings.HasPrefix(nonce, "i-") },
		}
		r := &round{view: view{seats: []seat{{marks: marks(3, true)}}}}
		c.alter(p, r, &r.seats[0])
		got := decide(p, r, r.seats)
		if got.step != c.want {
			t.Errorf("%s: step %d, want %d", c.name, got.step, c.want)
		}
		if got.step == waitBehind && got.ahead.Key != "queue/y" {
			t.Errorf("%s: it waits for %s", c.name, got.ahead.Key)
		}
	}
}
