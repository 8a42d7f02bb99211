package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// drivers are the stores whose tests are counted. A test counts for a driver
// if the last element of its package or an element of its own name contains
// the driver's name, whatever the case: backend/memory, TestEtcdOverlap and
// TestHandOver/zookeeper do.
var drivers = []string{"memory", "etcd", "consul", "zookeeper", "postgres"}

// report prints the tables and the last line; it returns whether all is well.
func report(out io.Writer, runs []*run, wall time.Duration) bool {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\npackages\ttests\tsubtests\tfailed\tskipped\twall\tcpu\tcommand\n")
	var passed, failed int
	var cpu time.Duration
	perDriver := map[string]*tally{}
	for _, name := range drivers {
		perDriver[name] = &tally{}
	}
	for _, r := range runs {
		c := r.count()
		packages := 0
		for _, p := range r.packages {
			if p.result != "skip" {
				packages++
			}
			for _, t := range p.tests {
				if d := driverOf(p.name, t.name); d != "" {
					perDriver[d].add(t)
				}
			}
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", packages, c.tests, c.subtests, c.failed, c.skipped,
			r.wall.Round(time.Second/10), r.cpu.Round(time.Second/10), r.label)
		cpu += r.cpu
		passed += c.passed
		failed += c.failed + len(r.problems)
	}
	fmt.Fprintf(w, "\ntests\tsubtests\tfailed\tskipped\tdriver\n")
	for _, name := range drivers {
		c := perDriver[name]
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%s\n", c.tests, c.subtests, c.failed, c.skipped, name)
	}
	_ = w.Flush()
	for _, r := range runs {
		for _, text := range r.problems {
			fmt.Fprintf(out, "FAIL\t%s\t(%s)\n", text, r.label)
		}
		for _, name := range sorted(r.packages) {
			p := r.packages[name]
			for _, t := range p.order {
				if result := p.tests[t].result; result != "pass" {
					fmt.Fprintf(out, "%s\t%s\t%s\n", map[string]string{"fail": "FAIL", "skip": "SKIP", "": "UNFINISHED"}[result], name, t)
				}
			}
		}
	}
	printSlowest(out, runs)
	fmt.Fprintf(out, "wall time %s, CPU time %s: %.0f%% of %d processors\n", wall.Round(time.Second/10), cpu.Round(time.Second/10),
		100*cpu.Seconds()/(wall.Seconds()*float64(runtime.NumCPU())), runtime.NumCPU())
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	return failed == 0
}

// slowest is how many tests printSlowest prints.
const slowest = 10

// printSlowest prints the tests that took longest, of those without subtests: the
// time of a test with subtests is theirs. A test that never finished counts with
// the time until its package's last event.
func printSlowest(out io.Writer, runs []*run) {
	type timed struct {
		took      time.Duration
		pkg, name string
	}
	var all []timed
	for _, r := range runs {
		for _, p := range r.packages {
			for _, t := range p.tests {
				if !p.parents[t.name] {
					name := t.name
					if t.result == "" {
						name += " (unfinished)"
					}
					all = append(all, timed{t.took, p.name, name})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b timed) int {
		return cmp.Or(cmp.Compare(b.took, a.took), cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name))
	})
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\nslowest\ttest\tpackage\n")
	for _, t := range all[:min(slowest, len(all))] {
		fmt.Fprintf(w, "%s\t%s\t%s\n", t.took.Round(time.Second/10), t.name, t.pkg)
	}
	_ = w.Flush()
}

func driverOf(pkg, test string) string {
	last := pkg[strings.LastIndex(pkg, "/")+1:]
	for element := range strings.SplitSeq(strings.ToLower(test), "/") {
		for _, name := range drivers {
			if strings.Contains(element, name) {
				return name
			}
		}
	}
	for _, name := range drivers {
		if strings.Contains(strings.ToLower(last), name) {
			return name
		}
	}
	return ""
}
