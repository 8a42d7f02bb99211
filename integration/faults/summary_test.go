package faults

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// summary is the table at the end: scenario x rounds x violations x recovery.
type summary struct {
	store string
	seed  uint64
	began time.Time
	rows  map[string]*row
}

type row struct {
	rounds, wrong int
	away          []time.Duration
	again         []time.Duration            // where it was
	recovered     map[string][]time.Duration // by part
	all           []time.Duration            // the slowest part of each round
	during        []time.Duration            // and of those whom it left alone, while it lasted
	overlap       time.Duration              // but for the strict election
}

func newSummary(store string, seed uint64) *summary {
	return &summary{store: store, seed: seed, began: time.Now(), rows: make(map[string]*row)}
}

func (s *summary) add(k kind, o outcome) {
	w := s.rows[k.name]
	if w == nil {
		w = &row{recovered: make(map[string][]time.Duration)}
		s.rows[k.name] = w
	}
	w.rounds++
	w.wrong += len(o.wrong)
	w.away = append(w.away, o.away)
	if o.again > 0 {
		w.again = append(w.again, o.again)
	}
	slowest := time.Duration(0)
	for part, took := range o.recovered {
		w.recovered[part] = append(w.recovered[part], took)
		slowest = max(slowest, took)
	}
	w.all = append(w.all, slowest)
	if o.during != nil {
		w.during = append(w.during, slices.Max(slices.Collect(maps.Values(o.during))))
	}
	for what, by := range o.longest {
		if what != strict {
			w.overlap = max(w.overlap, time.Duration(by))
		}
	}
}

func (s *summary) String() string {
	var b strings.Builder
	b.WriteString("| Fault | rounds | violations | meanwhile | outage | election | strict | counter | membership | partition | everything | overlap |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, k := range kinds {
		w := s.rows[k.name]
		if w == nil {
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", k.name, w.rounds, w.wrong, spread(w.during), spread(w.away),
			spread(w.recovered["election"]), spread(w.recovered["strict"]), spread(w.recovered["counter"]),
			spread(w.recovered["membership"]), spread(w.recovered["partition"]), spread(w.all), seconds(w.overlap))
	}
	for _, k := range kinds {
		if w := s.rows[k.name]; w != nil && len(w.again) > 0 {
			fmt.Fprintf(&b, "\nThe store was unavailable again after its first write, %s: in %d rounds of %d, for %s s.\n", k.name, len(w.again), w.rounds, spread(w.again))
		}
	}
	return b.String()
}

// spread is the median and the most.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(all))
	return fmt.Sprintf("%s, %s", seconds(sorted[len(sorted)/2]), seconds(sorted[len(sorted)-1]))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }

// write puts the table between the marks of the store in a page.
func (s *summary) write(page string) error {
	content, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	first, last := "<!-- "+s.store+" -->\n", "<!-- /"+s.store+" -->"
	before, rest, ok := strings.Cut(string(content), first)
	_, after, ok2 := strings.Cut(rest, last)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks %q", page, first)
	}
	commit, err := commit()
	if err != nil {
		return fmt.Errorf("naming the commit: %w", err)
	}
	head := fmt.Sprintf("\nCommit %s, %s, seed %d, %v.\n\n", commit,
		s.began.Format(time.DateOnly), s.seed, time.Since(s.began).Round(time.Second))
	return os.WriteFile(page, []byte(before+first+head+s.String()+"\n"+last+after), 0o600)
}

// commit names the one that is checked out, and says so if more than pages has
// changed since: the tables of the other stores are in the same page.
func commit() (string, error) {
	name, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "", err
	}
	changed, err := exec.Command("git", "status", "--porcelain", "--", ":/", ":(exclude,top)docs").Output()
	if err != nil {
		return "", err
	}
	if len(changed) > 0 {
		return strings.TrimSpace(string(name)) + " with changes", nil
	}
	return strings.TrimSpace(string(name)), nil
}
