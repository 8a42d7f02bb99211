// Package seeds runs simulations, a subtest for each seed.
package seeds

import (
	"flag"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"
)

var (
	count = flag.Int("seeds", 0, "how many seeds each simulation runs, 0 for as many as it does by default")
	only  = flag.Uint64("seed", 0, "the one seed that simulations run, 0 for all")
)

// Run calls simulate with each seed from 1 to n, unless the flags -seeds and -seed
// say otherwise. Under the race detector, where a seed costs six times as much, it
// runs a twentieth of them, and at least one: make test runs all of them without
// it, and finds them by name: the test is to be called TestSimulation, or
// something that ends so. If a seed fails, Run prints how to run it again.
//
// A seed decides what happens, and when. What it does not decide is what the
// library draws for itself (jitter, nonces) and which of two goroutines goes
// first that wake up at the same instant: so the same seed is run several times
// where once is not enough.
func Run(t *testing.T, n int, simulate func(t *testing.T, seed uint64)) {
	t.Helper()
	if test, _, _ := strings.Cut(t.Name(), "/"); !strings.HasSuffix(test, "Simulation") {
		t.Fatalf("the name of %s does not end with Simulation, and make test would not find it", test)
	}
	// A Store logs to slog.Default(), and thousands of simulated outages are not
	// for people to read.
	before, out, flags := slog.Default(), log.Writer(), log.Flags() //nolint:forbidigo // To put it back.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		slog.SetDefault(before)
		log.SetOutput(out)  //nolint:forbidigo // SetDefault has replaced it.
		log.SetFlags(flags) //nolint:forbidigo // As above.
	})
	simulate = replayable(simulate)
	if *only != 0 {
		simulate(t, *only)
		return
	}
	if *count != 0 {
		n = *count
	} else if RaceDetector {
		n = max(1, n/20)
	}
	for seed := range uint64(n) {
		t.Run(fmt.Sprintf("seed-%d", seed+1), func(t *testing.T) { simulate(t, seed+1) })
	}
}

// replayable makes a simulation say how to run it again, if it fails.
func replayable(simulate func(t *testing.T, seed uint64)) func(t *testing.T, seed uint64) {
	return func(t *testing.T, seed uint64) {
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(replay(t.Name(), seed))
			}
		})
		simulate(t, seed)
	}
}

// replay is the command, to be given in the directory of the package.
func replay(test string, seed uint64) string {
	test, _, _ = strings.Cut(test, "/")
	return fmt.Sprintf("to run it again: go test -run '^%s$' -seed %d -count 20 -failfast .", test, seed)
}
