package ids_test

import (
	"context"
	"fmt"
	"log"

	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/ids"
	"github.com/quorate/quorate/lock"
)

func Example() {
	store, err := memory.New(nil) // a service has etcd here, or another store
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	workers, err := lock.NewSemaphore(store, "orders", ids.MaxNodes, nil)
	if err != nil {
		log.Fatal(err)
	}

	// The permit is the node number. It is lost with the session, as a lock is.
	err = workers.Do(context.Background(), func(ctx context.Context, held *lock.Held) error {
		orders, err := ids.New(store, "orders", held, nil)
		if err != nil {
			return err
		}
		defer orders.Close()
		last := ids.ID(0)
		for range 3 {
			id, err := orders.Next(ctx)
			if err != nil {
				return err
			}
			fmt.Println("node", id.Node(), "higher than the last:", id > last)
			last = id
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// node 0 higher than the last: true
	// node 0 higher than the last: true
	// node 0 higher than the last: true
}
