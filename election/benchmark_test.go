package election_test

import (
	"context"
	"testing"

	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

func leading(tb testing.TB) *election.Leadership {
	tb.Helper()
	store, err := memory.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	e, err := election.New(store, "e", nil)
	if err != nil {
		tb.Fatal(err)
	}
	lead, err := e.Campaign(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = lead.Resign(context.Background()) })
	return lead
}

func BenchmarkValid(b *testing.B) {
	lead := leading(b)
	b.ReportAllocs()
	for b.Loop() {
		if !lead.Valid() {
			b.Fatal("not valid")
		}
	}
}

func TestValidAllocatesNothing(t *testing.T) {
	// Catches: an allocation in what is asked before each effect.
	lead := leading(t)
	if n := testing.AllocsPerRun(1000, func() { lead.Valid() }); n > 0 {
		t.Errorf("Valid: %v allocations", n)
	}
}
