package partition_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

func TestStatus(t *testing.T) {
	// Catches: claims that are taken for the plan, a token of another slot, a
	// slot that moves and passes for settled, a look that leaves something.
	bubble(t, partition.Options{Slots: 4, DrainTimeout: time.Second}, func(s *scene) {
		t := s.t
		watcher := s.open("watcher")
		status := func() partition.Status {
			t.Helper()
			got, err := watcher.part.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		got := status()
		if got.Epoch != 0 || len(got.Slots) != 4 || len(got.Claimants) != 0 || !got.Slots[0].Settled() || !got.Slots[0].Owner.IsZero() {
			t.Errorf("before the first plan: %+v", got)
		}
		if n := len(s.server.Entries()); n != 0 {
			t.Errorf("looking left %d keys", n)
		}
		back := make(chan struct{})
		a := s.open("a/1")
		a.work = func(ctx context.Context, _ *partition.Slot) error {
			<-ctx.Done()
			<-back
			return nil
		}
		a.run()
		time.Sleep(5 * time.Second)
		got = status()
		for k, slot := range got.Slots {
			if !slot.Settled() || slot.Owner.ID != "a/1" || slot.Owner.Registration == "" || slot.Owner.Registration != got.Claimants[0].Registration || slot.Owner.Token != got.Epoch {
				t.Errorf("slot %d: %+v", k, slot)
			}
		}
		if len(got.Claimants) != 1 || got.Claimants[0].ID != "a/1" || got.Claimants[0].Slots != 4 || got.Claimants[0].Epoch != got.Epoch || got.Claimants[0].Weight != 1 {
			t.Errorf("claimants %+v", got.Claimants)
		}
		// The stubborn body keeps its slot, which the plan gives to the other.
		first := got.Epoch
		s.start("b")
		time.Sleep(5 * time.Second)
		got = status()
		counts := map[string]int{}
		for k, slot := range got.Slots {
			switch settled := slot.Settled(); {
			case len(slot.Claims) != 1:
				t.Errorf("slot %d is claimed by %+v", k, slot.Claims)
			case !settled:
				counts["moving from "+slot.Claims[0].ID+" to "+slot.Owner.ID]++
				if slot.Claims[0].Token != first || slot.Owner.Token != got.Epoch {
					t.Errorf("slot %d: tokens of %+v", k, slot)
				}
			default:
				counts[slot.Owner.ID]++
			}
		}
		if counts["a/1"] != 2 || counts["moving from a/1 to b"] != 2 || got.Epoch <= first {
			t.Errorf("epoch %d after %d: %v", got.Epoch, first, counts)
		}
		close(back)
		time.Sleep(5 * time.Second)
		for k, slot := range status().Slots {
			if !slot.Settled() {
				t.Errorf("in the end slot %d is not settled: %+v", k, slot)
			}
		}
	})
}

func TestStatusOfWhatCannotBeRead(t *testing.T) {
	bubble(t, partition.Options{Slots: 4}, func(s *scene) {
		t := s.t
		p := s.start("a")
		time.Sleep(5 * time.Second)
		other, err := partition.New(p.group, "p", &partition.Options{Slots: 5})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := other.Status(t.Context()); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("with another number of slots: %+v, %v", got, err)
		}
		k, err := backend.Path("partition", "p", "claims", "x~1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.store.Commit(t.Context(), backend.Txn{Ops: []backend.Op{driver.Create(k, []byte(`{"format":2}`))}}); err != nil {
			t.Fatal(err)
		}
		if got, err := p.part.Status(t.Context()); !errors.Is(err, backend.ErrFormat) {
			t.Errorf("with claims of another format: %+v, %v", got, err)
		}
	})
}

func TestSettled(t *testing.T) {
	a, b := partition.Holder{ID: "a", Registration: "a~1", Token: 1}, partition.Holder{ID: "b", Registration: "b~1", Token: 2}
	later := a
	later.Token = 2
	for _, c := range []struct {
		owner  partition.Holder
		claims []partition.Holder
		want   bool
	}{
		{partition.Holder{}, nil, true},
		{a, []partition.Holder{a}, true},
		{a, nil, false},
		{partition.Holder{}, []partition.Holder{a}, false},
		{a, []partition.Holder{b}, false},
		{a, []partition.Holder{later}, false},
		{a, []partition.Holder{a, b}, false},
	} {
		if got := (partition.SlotStatus{Owner: c.owner, Claims: c.claims}).Settled(); got != c.want {
			t.Errorf("owner %+v, claims %+v: settled %v", c.owner, c.claims, got)
		}
	}
}

func ExamplePartition_Status() {
	store, err := memory.New(nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	group, err := membership.New(store, "workers", nil)
	if err != nil {
		panic(err)
	}
	work, err := partition.New(group, "shards", &partition.Options{Slots: 8})
	if err != nil {
		panic(err)
	}
	status, err := work.Status(context.Background())
	if err != nil {
		panic(err)
	}
	unowned := 0
	for _, slot := range status.Slots {
		if slot.Owner.IsZero() {
			unowned++
		}
	}
	fmt.Printf("epoch %d, %d slots, %d of them nobody's\n", status.Epoch, len(status.Slots), unowned)
	// Output: epoch 0, 8 slots, 8 of them nobody's
}
