package bench

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// line is one line of a row's table: figures taken pair by pair. Peer and floor
// may be missing, or have as many figures as ours.
type line struct {
	what              string
	unit              unit
	ours, peer, floor []float64
	peerIs, floorIs   string
	goals             []goal
}

// unit says how figures are written.
type unit string

const (
	milliseconds unit = "ms"
	perSecond    unit = "/s"
	plain        unit = ""
	bytesUnit    unit = "B"
)

// goal is what a figure is held against: its median, over the pairs.
type goal struct {
	text  string
	of    func(*line) []float64
	limit float64
	least bool // the limit is the least that is wanted, not the most
	// why says, by store, why the goal is missed where it is known to be: what
	// the floor is there. It shows only where it is missed.
	why map[string]string
}

func ours(l *line) []float64 { return l.ours }

func toPeer(l *line) []float64 { return over(l.ours, l.peer) }

func toFloor(l *line) []float64 { return over(l.ours, l.floor) }

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
func (g goal) verdict(l *line, store string) (text string, met bool) {
	figures := g.of(l)
	if len(figures) == 0 {
		return g.text + ": not measured", false
	}
	m := median(figures)
	met = g.allows(m)
	text = g.text + ": met"
	if !met {
		text = fmt.Sprintf("%s: **missed by %s %%**", g.text, percent(math.Abs(m/g.limit-1)))
	}
	if low, high := spread(figures); g.allows(low) != g.allows(high) {
		text += ", the limit within the spread"
	}
	if why := g.why[store]; why != "" && !met {
		text += ". " + why
	}
	return text, met
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
// of them would be the better for whoever is to be fast.
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

// show writes median and 99th percentile.
func (u unit) show(figures []float64) string {
	if len(figures) == 0 {
		return "-"
	}
	m, tail := median(figures), quantile(figures, 0.99)
	if len(figures) == 1 || m == tail {
		return u.one(m)
	}
	if u == perSecond {
		tail = quantile(figures, 0.01) // the worst are the lowest
	}
	return u.one(m) + " / " + u.one(tail)
}

func (u unit) one(f float64) string {
	text := fmt.Sprintf("%.0f", f)
	switch {
	case f == math.Trunc(f): // nothing behind the point
	case math.Abs(f) < 10:
		text = fmt.Sprintf("%.2f", f)
	case math.Abs(f) < 100:
		text = fmt.Sprintf("%.1f", f)
	}
	if u == plain {
		return text
	}
	return text + " " + string(u)
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
