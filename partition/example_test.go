package partition_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// Each of the processes that run this works on its share of the orders.
func ExamplePartition_Run() {
	// A service has a store of its own here: etcd.New(client, nil), say.
	store, err := memory.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ctx, stop := context.WithCancel(context.Background()) // by a signal, in a service
	defer stop()

	group, err := membership.New(store, "workers", nil)
	if err != nil {
		log.Fatal(err)
	}
	reg, err := group.Join(ctx, membership.Member{ID: "pod-7", Addr: "10.0.0.7:8080"})
	if err != nil {
		log.Fatal(err)
	}
	orders, err := partition.New(group, "orders", &partition.Options{Slots: 1})
	if err != nil {
		log.Fatal(err)
	}
	err = orders.Run(ctx, reg, func(ctx context.Context, slot *partition.Slot) error {
		fmt.Println("slot", slot.Number(), "with token", slot.Token())
		stop()       // the example's only
		<-ctx.Done() // work until then; nobody else runs the slot before this returns
		return nil
	})
	fmt.Println(err)
	_ = reg.Leave(context.Background())
	// Output:
	// slot 0 with token 1
	// partition "orders": context canceled
}

// What is written to the same store is written by who owns the slot, or not at
// all.
func ExampleSlot_Guard() {
	save := func(ctx context.Context, store *backend.Store, slot *partition.Slot, state string) error {
		key := fmt.Sprintf("orders/progress-%d", slot.Number())
		entry, found, err := store.Get(ctx, key)
		if err != nil {
			return err
		}
		op := driver.Create(key, []byte(state))
		if found {
			op = driver.Put(key, []byte(state), entry.Version)
		}
		_, err = store.Commit(ctx, backend.Txn{Ops: []driver.Op{op}}, slot.Guard())
		return err
	}

	store, err := memory.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	group, err := membership.New(store, "workers", nil)
	if err != nil {
		log.Fatal(err)
	}
	reg, err := group.Join(ctx, membership.Member{ID: "pod-7"})
	if err != nil {
		log.Fatal(err)
	}
	orders, err := partition.New(group, "orders", &partition.Options{Slots: 1})
	if err != nil {
		log.Fatal(err)
	}
	var mine *partition.Slot
	_ = orders.Run(ctx, reg, func(ctx context.Context, slot *partition.Slot) error {
		mine = slot
		fmt.Println("while it owns the slot:", save(ctx, store, slot, "half way"))
		stop()
		<-ctx.Done()
		return nil
	})
	err = save(context.Background(), store, mine, "all done") // the slot may be another's by now
	fmt.Println("afterwards it is fenced:", errors.Is(err, backend.ErrFenced))
	// Output:
	// while it owns the slot: <nil>
	// afterwards it is fenced: true
}

// Whoever takes requests sends them to where they will most likely be served.
func ExamplePartition_Owner() {
	store, err := memory.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	group, err := membership.New(store, "workers", nil)
	if err != nil {
		log.Fatal(err)
	}
	orders, err := partition.New(group, "orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer orders.Close()
	fmt.Println("slot", orders.Slot("order/7"))
	if m, ok := orders.Owner("order/7"); ok {
		fmt.Println("ask", m.Addr)
	} else {
		fmt.Println("nobody is known to run it")
	}
	// Output:
	// slot 160
	// nobody is known to run it
}
