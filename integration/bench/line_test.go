package bench

import (
	"slices"
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
	if got := toPeer.figures(l); !slices.Equal(got, []float64{0.5, 0.5, 2}) {
		t.Errorf("to the peer: %v", got)
	}
	if got := toFloor.figures(l); !slices.Equal(got, []float64{1, 1}) {
		t.Errorf("to the floor: %v", got)
	}
}

func TestVerdicts(t *testing.T) {
	l := &line{unit: milliseconds, ours: []float64{2, 2, 2}, peer: []float64{1, 1, 4}}
	for name, c := range map[string]struct {
		goal goal
		want string
		met  bool
	}{
		"met":       {goal{of: ours, limit: 2}, "at most 2 ms: met", true},
		"least met": {goal{of: ours, limit: 2, least: true}, "at least 2 ms: met", true},
		"missed":    {goal{of: ours, limit: 1.6}, "at most 1.60 ms: **missed by 25 %**", false},
		"least":     {goal{of: ours, limit: 4, least: true}, "at least 4 ms: **missed by 50 %**", false},
		"by little": {goal{of: ours, limit: 1.99}, "at most 1.99 ms: **missed by less than 1 %**", false},
		"spread":    {goal{of: toPeer, limit: 1}, "at most 1 × stock: **missed by 100 %**, within the spread", false},
		"barely":    {goal{of: toPeer, limit: 1, least: true}, "at least 1 × stock: met, within the spread", true},
		"missing":   {goal{of: toFloor, limit: 1}, "at most 1 × floor: not measured", false},
	} {
		if text, met := c.goal.verdict(l); text != c.want || met != c.met {
			t.Errorf("%s: %q, %v", name, text, met)
		}
	}
}

func TestGoalsOfAStore(t *testing.T) {
	// Catches: a goal of one store held against another.
	var l line
	l.goal(toPeer, "consul", perStore{"etcd": 1.1})
	if len(l.goals) > 0 {
		t.Errorf("goals of another store: %v", l.goals)
	}
	l.goal(toPeer, "etcd", perStore{"etcd": 1.1})
	if want := []goal{{of: toPeer, limit: 1.1}}; !slices.Equal(l.goals, want) {
		t.Errorf("goals %v, want %v", l.goals, want)
	}
	for store, want := range map[string]string{"etcd": "its own", "consul": "all"} {
		if got := (why{"etcd": "its own", "": "all"}).on(store); got != want {
			t.Errorf("the reason on %s is %q", store, got)
		}
	}
}

func TestFiguresAreReadable(t *testing.T) {
	for want, text := range map[string]string{
		"0.12 µs":  milliseconds.one(0.00012), // Catches: "0.00 ms"
		"6.62 ms":  milliseconds.one(6.6189),
		"583 ms":   milliseconds.one(582.7),
		"13.2 s":   milliseconds.one(13_200),
		"0 ms":     milliseconds.one(0),
		"62.5 KiB": bytesUnit.one(64_000),
		"21863 /s": perSecond.one(21863.2),
		"1.25":     plain.one(1.25),
	} {
		if text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
}
