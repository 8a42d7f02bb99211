package harness

import (
	"maps"
	"slices"
	"testing"
)

// TestNames: EachStore runs every store.
func TestNames(t *testing.T) {
	got, want := slices.Sorted(slices.Values(Names)), slices.Sorted(maps.Keys(Stores))
	if !slices.Equal(got, want) {
		t.Errorf("Names are %q, Stores has %q", got, want)
	}
	for name, store := range Stores {
		if store.Name != name {
			t.Errorf("the store %q is called %q", name, store.Name)
		}
	}
}
