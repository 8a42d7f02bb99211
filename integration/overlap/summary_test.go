package overlap

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// summaries collects the verdicts of all rounds, by recipe and fault.
type summaries struct {
	mu   sync.Mutex
	rows map[string][]verdict
}

func (s *summaries) add(row string, v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = make(map[string][]verdict)
	}
	s.rows[row] = append(s.rows[row], v)
}

// table has a line for each recipe and fault.
func (s *summaries) table() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.rows {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	fmt.Fprintf(&b, "%-52s %9s %21s %12s %24s\n", "", "rounds", "overlap", "stale lines", "longest without leader")
	fmt.Fprintf(&b, "%-52s %9s %10s %10s %12s %12s %11s\n", "", "overlap", "median", "longest", "", "median", "longest")
	for _, name := range names {
		var overlaps, takeovers []time.Duration
		overlapping, stale := 0, 0
		for _, v := range s.rows[name] {
			overlaps = append(overlaps, max(v.overlap, 0).Round(time.Millisecond))
			takeovers = append(takeovers, v.takeover.Round(time.Millisecond))
			if v.overlap > 0 {
				overlapping++
			}
			stale += v.stale
		}
		slices.Sort(overlaps)
		slices.Sort(takeovers)
		fmt.Fprintf(&b, "%-52s %9s %10v %10v %12d %12v %11v\n", name,
			fmt.Sprintf("%d of %d", overlapping, len(overlaps)),
			overlaps[len(overlaps)/2], overlaps[len(overlaps)-1], stale,
			takeovers[len(takeovers)/2], takeovers[len(takeovers)-1])
	}
	return b.String()
}

func TestSummary(t *testing.T) {
	var s summaries
	s.add("ours x", verdict{overlap: -time.Second, takeover: time.Second})
	s.add("ours x", verdict{overlap: 2 * time.Second, stale: 3})
	lines := strings.Split(s.table(), "\n")
	if got, want := strings.Join(strings.Fields(lines[2]), " "), "ours x 1 of 2 2s 2s 3 1s 1s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
