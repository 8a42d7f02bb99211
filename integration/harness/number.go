package harness

import (
	"os"
	"strconv"
	"testing"
)

// Number reads a number from the environment: how much a suite does, or the
// seed that it repeats.
func Number(t testing.TB, name string, byDefault int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
