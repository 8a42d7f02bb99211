package counter_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
)

func benchStore(b *testing.B) *backend.Store {
	b.Helper()
	store, err := memory.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	return store
}

// BenchmarkAtomicAdd is what the others are held against.
func BenchmarkAtomicAdd(b *testing.B) {
	var sum atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			sum.Add(1)
		}
	})
}

func BenchmarkSequenceNext(b *testing.B) {
	s, err := counter.NewSequence(benchStore(b), "s", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Next(context.Background()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkTallyAdd(b *testing.B) {
	t, err := counter.NewTally(benchStore(b), "t", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t.Add(1)
		}
	})
	if err := t.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkCounterAdd has one caller, on a store that answers at once: what
// is left is the counter's own work.
func BenchmarkCounterAdd(b *testing.B) {
	c, err := counter.New(benchStore(b), "c", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Add(context.Background(), 1); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLocalCallsAllocateNothing(t *testing.T) {
	// Catches: an allocation where a call is to cost no more than an addition.
	store, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx := context.Background()
	s, err := counter.NewSequence(store, "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tally, err := counter.NewTally(store, "t", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tally.Close() }()
	next := func() {
		if _, err := s.Next(ctx); err != nil {
			t.Error(err)
		}
	}
	// What a reservation costs is spread over its block.
	if n := testing.AllocsPerRun(10000, next); n > 0 {
		t.Errorf("Sequence.Next: %v allocations", n)
	}
	if n := testing.AllocsPerRun(10000, func() { tally.Add(1) }); n > 0 {
		t.Errorf("Tally.Add: %v allocations", n)
	}
}
