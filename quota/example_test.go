package quota_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/quota"
)

// Two processes share five requests per window.
func Example() {
	ctx := context.Background()
	server := memory.NewServer() // a service has etcd here, or another store
	for process := range 2 {
		store, err := memory.Open(server, nil)
		if err != nil {
			log.Fatal(err)
		}
		defer store.Close()
		q, err := quota.New(store, "api/customer-7", 5, 1000*time.Hour, nil)
		if err != nil {
			log.Fatal(err)
		}
		for range 3 {
			granted, err := q.Take(ctx, 1)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("process", process, "granted:", granted)
		}
	}
	// Output:
	// process 0 granted: true
	// process 0 granted: true
	// process 0 granted: true
	// process 1 granted: true
	// process 1 granted: true
	// process 1 granted: false
}
