package harness

import (
	"maps"
	"slices"
	"testing"
)

// TestNames: EachStore runs stores that there are, and all but PostgreSQL by default.
func TestNames(t *testing.T) {
	for _, name := range append(named("postgres"), Names...) {
		if _, ok := Stores[name]; !ok {
			t.Errorf("Names has %q, Stores has not", name)
		}
	}
	got, want := append(named("postgres"), named("")...), slices.Sorted(maps.Keys(Stores))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("Names may be %q, Stores has %q", got, want)
	}
	for name, store := range Stores {
		if store.Name != name {
			t.Errorf("the store %q is called %q", name, store.Name)
		}
	}
}
