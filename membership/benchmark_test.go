package membership_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
)

// joined returns a group of a hundred members.
func joined(tb testing.TB) *membership.Group {
	tb.Helper()
	store, err := memory.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	g, err := membership.New(store, "g", nil)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range 100 {
		if _, err := g.Join(context.Background(), membership.Member{ID: fmt.Sprintf("m%02d", i)}); err != nil {
			tb.Fatal(err)
		}
	}
	for v, err := range g.Watch(context.Background()) {
		if err != nil {
			tb.Fatal(err)
		}
		if len(v.Members) == 100 {
			return g
		}
	}
	return nil
}

func BenchmarkView(b *testing.B) {
	g := joined(b)
	b.ReportAllocs()
	for b.Loop() {
		if v := g.View(); len(v.Members) != 100 {
			b.Fatalf("%d members", len(v.Members))
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	v := joined(b).View()
	b.ReportAllocs()
	for b.Loop() {
		if _, found := v.Lookup("m42"); !found {
			b.Fatal("not found")
		}
	}
}

func TestViewAllocatesNothing(t *testing.T) {
	// Catches: a view that is made for each who asks, of all members.
	g := joined(t)
	if n := testing.AllocsPerRun(1000, func() { g.View() }); n > 0 {
		t.Errorf("View: %v allocations", n)
	}
}
