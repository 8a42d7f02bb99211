package faults_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
)

// What does a service do when a write takes effect and nobody is told?
func Example() {
	d := faults.Wrap(memory.NewDriver(memory.NewServer()))
	store, err := backend.New(d, nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()

	d.Next(faults.Commit, faults.Fault{LoseReply: true})
	_, err = store.Commit(context.Background(), driver.Txn{
		Ops: []driver.Op{driver.Create("order/7", []byte("paid"))},
	})
	fmt.Println(errors.Is(err, backend.ErrIndeterminate))

	entry, found, _ := store.Get(context.Background(), "order/7")
	fmt.Println(found, string(entry.Value))
	// Output:
	// true
	// true paid
}
