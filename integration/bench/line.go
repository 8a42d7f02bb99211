package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// line is one line of a store's table: figures taken pair by pair. The peer's
// and the floor's may be missing, or are as many as ours.
type line struct {
	what              string
	unit              unit
	ours, peer, floor []float64
	floorIs           string
	goals             []goal
	why               why // shown where a goal is missed
}

// unit says how figures are written.
type unit string

const (
	milliseconds unit = "ms"
	perSecond    unit = "/s"
	plain        unit = ""
	bytesUnit    unit = "B"
)

// perStore has a limit for each store that has the goal.
type perStore map[string]float64

// why says, by store, what the difference is between ours and the goal where a
// goal is missed. The empty name is for all stores.
type why map[string]string

func (w why) on(store string) string {
	if text, ok := w[store]; ok {
		return text
	}
	return w[""]
}

// measure is a figure that a goal is about.
type measure int

const (
	ours measure = iota
	toPeer
	toFloor
)

// figures returns the figures of a line, one for each pair.
func (m measure) figures(l *line) []float64 {
	switch m {
	case toPeer:
		return over(l.ours, l.peer)
	case toFloor:
		return over(l.ours, l.floor)
	default:
		return l.ours
	}
}

// goal is what a figure is held against: its median, over the pairs.
type goal struct {
	of    measure
	limit float64
	least bool // the limit is the least that is wanted, not the most
}

// goal adds a goal on the stores that have it.
func (l *line) goal(of measure, store string, limits perStore) {
	if limit, ok := limits[store]; ok {
		l.goals = append(l.goals, goal{of: of, limit: limit})
	}
}

// over divides pair by pair. Nothing is the result where some have nothing to be
// divided by: the ratios of the others would not stand for them.
func over(a, b []float64) []float64 {
	quotients := make([]float64, 0, len(a))
	for i := range min(len(a), len(b)) {
		if b[i] == 0 {
			return nil
		}
		quotients = append(quotients, a[i]/b[i])
	}
	return quotients
}

// verdict says whether the goal is met or by how much it is missed, and whether
// it would be otherwise at the other end of the spread.
func (g goal) verdict(l *line) (text string, met bool) {
	text = g.text(l)
	figures := g.of.figures(l)
	if len(figures) == 0 {
		return text + ": not measured", false
	}
	m := median(figures)
	met = g.allows(m)
	if met {
		text += ": met"
	} else {
		text += fmt.Sprintf(": **missed by %s %%**", percent(math.Abs(m/g.limit-1)))
	}
	if low, high := spread(figures); g.allows(low) != g.allows(high) {
		text += ", within the spread"
	}
	return text, met
}

// text is the goal in words.
func (g goal) text(l *line) string {
	bound := "at most "
	if g.least {
		bound = "at least "
	}
	switch g.of {
	case toPeer:
		return bound + plain.one(g.limit) + " × stock"
	case toFloor:
		return bound + plain.one(g.limit) + " × floor"
	default:
		return bound + l.unit.one(g.limit)
	}
}

// percent writes a share without digits that say nothing.
func percent(share float64) string {
	if share < 0.01 {
		return "less than 1"
	}
	return fmt.Sprintf("%.0f", 100*share)
}

func (g goal) allows(figure float64) bool {
	if g.least {
		return figure >= g.limit
	}
	return figure <= g.limit
}

// quantile is the value that a share of the figures does not exceed; of fewer
// than a hundred the 99th percentile is the highest.
func quantile(figures []float64, share float64) float64 {
	if len(figures) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[max(int(math.Ceil(share*float64(len(sorted))))-1, 0)]
}

// median is the mean of the middle two where there is no middle one: the lower
// of them would favour the faster side.
func median(figures []float64) float64 {
	if len(figures) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(figures))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// spread is where the middle four fifths of the figures lie.
func spread(figures []float64) (low, high float64) {
	return quantile(figures, 0.1), quantile(figures, 0.9)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// show writes the median.
func (u unit) show(figures []float64) string {
	if len(figures) == 0 {
		return "-"
	}
	return u.one(median(figures))
}

// one writes a figure with three digits that say something.
func (u unit) one(f float64) string {
	switch {
	case u == milliseconds && f != 0 && math.Abs(f) < 0.1:
		f, u = 1000*f, "µs"
	case u == milliseconds && math.Abs(f) >= 10_000:
		f, u = f/1000, "s"
	case u == bytesUnit && math.Abs(f) >= 10*1024:
		f, u = f/1024, "KiB"
	}
	text := strconv.FormatFloat(f, 'f', digits(f), 64)
	if u == plain {
		return text
	}
	return text + " " + string(u)
}

// digits is how many there are behind the point.
func digits(f float64) int {
	switch size := math.Abs(f); {
	case f == math.Trunc(f), size >= 100:
		return 0
	case size >= 10:
		return 1
	default:
		return 2
	}
}

func ratios(figures []float64) string {
	if len(figures) == 0 {
		return "-"
	}
	low, high := spread(figures)
	if low == high {
		return fmt.Sprintf("%.2f", low)
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(figures), low, high)
}
