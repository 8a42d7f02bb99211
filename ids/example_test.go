package ids_test

import (
	"context"
	"fmt"
	"log"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/ids"
)

// permit is a node number. A service takes a permit of a lock.Semaphore.
type permit struct{ guard backend.Guard }

func (permit) Permit() int              { return 7 }
func (permit) Context() context.Context { return context.Background() }
func (p permit) Guard() backend.Guard   { return p.guard }

func Example() {
	ctx := context.Background()
	store, err := memory.New(nil) // a service has etcd here, or another store
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.Put(ctx, "permits/7", nil); err != nil {
		log.Fatal(err)
	}
	held, _, err := store.Get(ctx, "permits/7")
	if err != nil {
		log.Fatal(err)
	}
	guard := store.NewGuard(1, []backend.Entry{held}, func(map[string]backend.Entry) bool { return true })

	orders, err := ids.New(store, "orders", permit{guard}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer orders.Close()
	last := ids.ID(0)
	for range 3 {
		id, err := orders.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("node", id.Node(), "higher than the last:", id > last)
		last = id
	}
	// Output:
	// node 7 higher than the last: true
	// node 7 higher than the last: true
	// node 7 higher than the last: true
}
