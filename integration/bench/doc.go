// Package bench measures Quorate beside what its users would otherwise use:
// the recipes that come with the stores' own clients, on the same cluster, in
// the same run, in turns; and beside the floor, what the store itself takes for
// the least that could be done. Command bench prints it, and writes
// docs/benchmarks.md.
//
// What is timed in pairs is compared pair by pair, so that a busy moment hits
// both sides. A row that fails says so in the table, and the others go on.
package bench
