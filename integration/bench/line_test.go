package bench

import (
	"slices"
	"strings"
	"testing"
)

func TestQuantiles(t *testing.T) {
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(100-i))
	}
	for share, want := range map[float64]float64{0.1: 10, 0.5: 50, 0.99: 99, 1: 100, 0.001: 1} {
		if got := quantile(hundred, share); got != want {
			t.Errorf("the %v quantile of 1 to 100 is %v", share, got)
		}
	}
	if got := quantile([]float64{1, 2, 3}, 0.99); got != 3 {
		t.Errorf("the 99th percentile of three is %v", got)
	}
	// Catches: of two runs the better one.
	for want, figures := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 3, 2}, 7: {7}} {
		if got := median(figures); got != want {
			t.Errorf("the median of %v is %v", figures, got)
		}
	}
}

func TestRatiosArePairByPair(t *testing.T) {
	// Catches: a ratio of medians, which a busy moment would shift.
	l := &line{ours: []float64{1, 10, 4}, peer: []float64{2, 20, 2}, floor: []float64{1, 10}}
	// Catches: +Inf in a table, or the ratio of the few pairs that have one.
	if got := over(l.ours, []float64{0, 1, 0}); got != nil {
		t.Errorf("to nothing: %v", got)
	}
	if got := toPeer(l); !slices.Equal(got, []float64{0.5, 0.5, 2}) {
		t.Errorf("to the peer: %v", got)
	}
	if got := toFloor(l); !slices.Equal(got, []float64{1, 1}) {
		t.Errorf("to the floor: %v", got)
	}
}

func TestVerdicts(t *testing.T) {
	l := &line{ours: []float64{2, 2, 2}, peer: []float64{1, 1, 4}}
	why := map[string]string{"etcd": "For a reason."}
	for name, c := range map[string]struct {
		goal goal
		want string
		met  bool
	}{
		"met":       {goal{text: "g", of: ours, limit: 2}, "g: met", true},
		"least met": {goal{text: "g", of: ours, limit: 2, least: true}, "g: met", true},
		"missed":    {goal{text: "g", of: ours, limit: 1.6, why: why}, "g: **missed by 25 %**. For a reason.", false},
		"least":     {goal{text: "g", of: ours, limit: 4, least: true}, "g: **missed by 50 %**", false},
		"by little": {goal{text: "g", of: ours, limit: 1.99}, "g: **missed by less than 1 %**", false},
		"spread":    {goal{text: "g", of: toPeer, limit: 1}, "g: **missed by 100 %**, the limit within the spread", false},
		"barely":    {goal{text: "g", of: toPeer, limit: 1, least: true, why: why}, "g: met, the limit within the spread", true},
		"missing":   {goal{text: "g", of: toFloor, limit: 1}, "g: not measured", false},
	} {
		if text, met := c.goal.verdict(l, "etcd"); text != c.want || met != c.met {
			t.Errorf("%s: %q, %v", name, text, met)
		}
		if text, _ := c.goal.verdict(l, "consul"); strings.Contains(text, "reason") {
			t.Errorf("%s: another store's reason: %q", name, text)
		}
	}
}
