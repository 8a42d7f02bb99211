package bench

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
)

// mostFigures is how many figures of one side the raw data has. Of more it has as
// many quantiles, at equal distances.
const mostFigures = 500

// WriteCSV writes the figures behind the page: a record for each side of each
// line, with its figures in the order in which they were taken.
func (r *Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	records := [][]string{{"store", "row", "line", "side", "unit", "count", "median", "p10", "p90", "p99", "figures"}}
	for _, o := range r.outcomes {
		for _, l := range o.lines {
			for _, side := range []struct {
				name    string
				figures []float64
			}{{"ours", l.ours}, {"stock", l.peer}, {"floor", l.floor}} {
				if len(side.figures) > 0 {
					records = append(records, record(o, l, side.name, side.figures))
				}
			}
		}
	}
	if err := out.WriteAll(records); err != nil {
		return err
	}
	return out.Error()
}

func record(o outcome, l line, side string, figures []float64) []string {
	fields := []string{o.store, o.row.name, l.what, side, string(l.unit), strconv.Itoa(len(figures)), number(median(figures))}
	for _, share := range []float64{0.1, 0.9, 0.99} {
		fields = append(fields, number(quantile(figures, share)))
	}
	all := figures
	if len(all) > mostFigures {
		all = make([]float64, mostFigures)
		for i := range all {
			all[i] = quantile(figures, float64(i+1)/mostFigures)
		}
	}
	texts := make([]string, len(all))
	for i, f := range all {
		texts[i] = number(f)
	}
	return append(fields, strings.Join(texts, " "))
}

// number writes a figure with four digits.
func number(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }
