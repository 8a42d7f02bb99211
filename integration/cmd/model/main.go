// Command model searches the models of the protocols and prints what it found:
// see package model. It fails if a rule breaks, a mutant is not caught, or a
// search was cut off.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/quorate/quorate/integration/model"
)

func main() {
	limit := flag.Int("max", 12_000_000, "states a search may visit; what is cut off there has not passed")
	only := flag.String("only", "", "cases whose model, kind and name contain this")
	traces := flag.Bool("traces", false, "print the shortest trace of each mutant and limit too")
	short := flag.Bool("short", false, "the cases of the ordinary tests only")
	flag.Parse()
	failed := 0
	report := func(c model.Case, name string, r model.Result, ok bool) {
		mark := "ok  "
		if !ok {
			mark = "FAIL"
			failed++
		}
		fmt.Printf("%s %-10s %-6s %-62s %9d states %6s  %s\n", mark, c.Model, c.Kind, name, r.States, r.Elapsed.Round(100*time.Millisecond), r.Verdict())
		if len(r.Trace) > 0 && (*traces || !ok) {
			fmt.Print(r.Steps())
		}
	}
	for _, c := range model.Cases() {
		if !strings.Contains(fmt.Sprintf("%s %s %s", c.Model, c.Kind, c.Name), *only) || *short && !c.Short {
			continue
		}
		if c.Kind == model.Mutant {
			r := c.Whole(*limit)
			report(c, c.Name+", whole", r, r.Holds())
		}
		r := c.Run(*limit)
		report(c, c.Name, r, c.OK(r))
	}
	if failed > 0 {
		fmt.Printf("%d cases are not what they should be\n", failed)
		os.Exit(1)
	}
}
