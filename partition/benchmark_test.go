package partition_test

import (
	"context"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// owned returns a partition whose slots a member runs.
func owned(tb testing.TB) *partition.Partition {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	store, err := memory.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	g, err := membership.New(store, "g", nil)
	if err != nil {
		tb.Fatal(err)
	}
	reg, err := g.Join(ctx, membership.Member{ID: "a member"})
	if err != nil {
		tb.Fatal(err)
	}
	p, err := partition.New(g, "p", &partition.Options{Settle: time.Millisecond})
	if err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	began := make(chan struct{}, p.Slots())
	go func() {
		defer close(ended)
		_ = p.Run(ctx, reg, func(ctx context.Context, _ *partition.Slot) error {
			began <- struct{}{}
			<-ctx.Done()
			return nil
		})
	}()
	tb.Cleanup(func() {
		cancel()
		<-ended
		p.Close()
		_ = store.Close()
	})
	for range p.Slots() {
		<-began
	}
	// The first call only begins to follow who owns what.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		if _, found := p.Owner("key"); found {
			return p
		}
		if time.Now().After(deadline) {
			tb.Fatal("nobody owns the slot, though it runs")
		}
	}
}

func BenchmarkOwner(b *testing.B) {
	p := owned(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, found := p.Owner("key"); !found {
			b.Fatal("nobody owns the slot")
		}
	}
}

func TestOwnerAllocatesLittle(t *testing.T) {
	// Catches: a plan or a view that is copied for each request to be routed.
	// The ID has a space in it, which is escaped in the plan: that is the one.
	p := owned(t)
	if n := testing.AllocsPerRun(1000, func() { p.Owner("key") }); n > 1 {
		t.Errorf("Owner: %v allocations", n)
	}
}
