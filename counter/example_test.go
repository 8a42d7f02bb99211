package counter_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
)

// Two processes sell the same ten seats, and none is sold twice.
func ExampleCounter_Add() {
	ctx := context.Background()
	server := memory.NewServer() // a service has etcd here, or another store
	low, high := int64(0), int64(10)
	var stores []*backend.Store
	for range 2 {
		store, err := memory.Open(server, nil)
		if err != nil {
			log.Fatal(err)
		}
		stores = append(stores, store)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	sold, refused := 0, 0
	for _, store := range stores { // one for each process
		seats, err := counter.New(store, "concert/2026-11-24/sold", &counter.Options{Min: &low, Max: &high})
		if err != nil {
			log.Fatal(err)
		}
		for range 8 { // callers, whose adds go out together
			wg.Go(func() {
				_, err := seats.Add(ctx, 1)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					sold++
				case errors.Is(err, counter.ErrOutOfRange):
					refused++
				default:
					log.Print(err)
				}
			})
		}
	}
	wg.Wait()
	for _, store := range stores {
		if err := store.Close(); err != nil {
			log.Print(err)
		}
	}
	fmt.Println(sold, "sold,", refused, "refused")
	// Output: 10 sold, 6 refused
}

// What to do when a context ends before the outcome is known.
func ExampleCounter_Add_indeterminate() {
	store, err := memory.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	c, err := counter.New(store, "orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n, err := c.Add(ctx, 1)
	switch {
	case err == nil:
		fmt.Println("order", n)
	case errors.Is(err, backend.ErrIndeterminate):
		// Sent, and it may be counted. To add again could count twice: say so
		// to whoever asked, and leave a gap.
	default:
		// Not counted, and never will be: adding again is safe.
	}
	// Output: order 1
}

func ExampleCounter_CompareAndSet() {
	ctx := context.Background()
	store, err := memory.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	version, err := counter.New(store, "schema", nil)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		swapped, err := version.CompareAndSet(ctx, 0, 1)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("raised by us:", swapped)
	}
	value, err := version.Value(ctx)
	fmt.Println(value, err)
	// Output:
	// raised by us: true
	// raised by us: false
	// 1 <nil>
}

// A counter that is not needed any more leaves no key behind.
func ExampleCounter_Delete() {
	ctx := context.Background()
	store, err := memory.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	visits, err := counter.New(store, "visits/customer-7", nil)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		n, err := visits.Add(ctx, 1)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("visit", n)
		if err := visits.Delete(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// visit 1
	// visit 1
}

func ExampleSequence() {
	ctx := context.Background()
	store, err := memory.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ids, err := counter.NewSequence(store, "invoice", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer ids.Close()
	for range 3 {
		id, err := ids.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("invoice", id)
	}
	// Output:
	// invoice 1
	// invoice 2
	// invoice 3
}

// Every request is counted, and the store is written to once a second.
func ExampleTally() {
	ctx := context.Background()
	store, err := memory.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	requests, err := counter.NewTally(store, "requests", &counter.TallyOptions{Interval: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	for range 100_000 {
		requests.Add(1) // no I/O
	}
	if err := requests.Close(); err != nil { // flushes
		log.Fatal(err)
	}
	total, err := requests.Total(ctx) // of all processes
	fmt.Println(total, err)
	// Output: 100000 <nil>
}
