// Package seeds runs simulations, a subtest for each seed.
package seeds

import (
	"flag"
	"fmt"
	"testing"
)

var (
	count = flag.Int("seeds", 0, "how many seeds each simulation runs, 0 for as many as it does by default")
	only  = flag.Uint64("seed", 0, "the one seed that simulations run, 0 for all")
)

// Run calls simulate with each seed from 1 to n; the flags -seeds and -seed say
// otherwise. With -short it is a tenth of them, for where the same code was run
// in full already.
func Run(t *testing.T, n int, simulate func(t *testing.T, seed uint64)) {
	t.Helper()
	if *only != 0 {
		simulate(t, *only)
		return
	}
	if *count != 0 {
		n = *count
	} else if testing.Short() {
		n /= 10
	}
	for seed := range uint64(n) {
		t.Run(fmt.Sprintf("seed-%d", seed+1), func(t *testing.T) { simulate(t, seed+1) })
	}
}
