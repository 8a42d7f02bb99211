package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestSmoke measures next to nothing, of every row: none must rot.
func TestSmoke(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var progress bytes.Buffer
	report, err := Run(ctx, Config{Stores: []string{"etcd"}, Rounds: 1, Smoke: true, Progress: &progress})
	if err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	t.Log(progress.String())
	// Catches: a client that a row leaves behind, whose requests count for another
	// row as soon as that has the ports which were its proxies'.
	left := ""
	for range 50 {
		if left = stacksOf("github.com/quorate/quorate/backend", "go.etcd.io/etcd/client"); left == "" {
			break
		}
		_ = pause(ctx, 100*time.Millisecond)
	}
	if left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	page := report.Page()
	for _, row := range rows {
		if !strings.Contains(page, "| "+row.title+": ") || !strings.Contains(page, "**"+row.title+".** ") {
			t.Errorf("the page says nothing of %s", row.name)
		}
	}
	if strings.Contains(page, "**failed**") {
		t.Errorf("a row failed:\n%s", page)
	}
	// Catches: raw figures that lack a line.
	var raw bytes.Buffer
	if err := report.WriteCSV(&raw); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&raw).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	// Catches: a line without figures, or whose sides were not taken in pairs.
	for _, o := range report.outcomes {
		for _, l := range o.lines {
			if len(l.ours) == 0 {
				t.Errorf("%s: %s: no figures", o.row.name, l.what)
			}
			if !slices.ContainsFunc(records, func(r []string) bool { return r[1] == o.row.name && r[2] == l.what && r[3] == "ours" }) {
				t.Errorf("%s: %s: no raw figures", o.row.name, l.what)
			}
			for _, other := range [][]float64{l.peer, l.floor} {
				if len(other) > 0 && len(other) != len(l.ours) {
					t.Errorf("%s: %s: %d figures beside %d", o.row.name, l.what, len(other), len(l.ours))
				}
			}
		}
	}
}

// stacksOf returns the stacks of all goroutines that are in one of some packages.
func stacksOf(packages ...string) string {
	var of []string
	for _, stack := range stacks() {
		if slices.ContainsFunc(packages, func(p string) bool { return strings.Contains(stack, p) }) {
			of = append(of, stack)
		}
	}
	return strings.Join(of, "\n\n")
}

func TestArguments(t *testing.T) {
	// Catches: a misspelt row that measures nothing and says that all is well.
	for name, c := range map[string]Config{
		"row": {Rows: []string{"ofice"}}, "store": {Stores: []string{"zk"}}, "rounds": {Rounds: -1},
	} {
		if _, err := Run(t.Context(), c); err == nil {
			t.Errorf("a bad %s is no error", name)
		}
	}
}

func TestAFailedRowIsSaid(t *testing.T) {
	// Catches: a row that panics or fails and takes the run with it, or is
	// left out of the page.
	r := &Report{config: Config{Progress: &bytes.Buffer{}}}
	b := &benchmark{report: r, scale: smoke, names: new(atomic.Int64)}
	b.store.Name = aloneStore
	b.do(t.Context(), row{name: "local", title: "Without a store", alone: true, measure: func(context.Context, *lab) ([]line, error) {
		panic("oh")
	}})
	b.do(t.Context(), row{name: "local", title: "Without a store", alone: true, measure: local})
	if page := r.Page(); !strings.Contains(page, "**failed**") || !strings.Contains(page, "1. panic: oh\n") || !strings.Contains(page, "Tally.Add") {
		t.Errorf("the page: %s", page)
	}
}
