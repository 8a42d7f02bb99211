package lock_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/lock"
)

// openStore stands for the adapter of your store.
func openStore() *backend.Store {
	store, err := memory.Open(memory.NewServer(), nil)
	if err != nil {
		panic(err)
	}
	return store
}

func ExampleMutex_Do() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	m, err := lock.NewMutex(store, "invoices/42", nil)
	if err != nil {
		panic(err)
	}
	for range 2 {
		err = m.Do(ctx, func(_ context.Context, held *lock.Held) error {
			fmt.Println("sending with token", held.Token())
			return nil
		})
		if err != nil {
			panic(err)
		}
	}
	// Output:
	// sending with token 2
	// sending with token 3
}

func ExampleMutex_TryLock() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	m, err := lock.NewMutex(store, "cache/rebuild", nil)
	if err != nil {
		panic(err)
	}
	held, err := m.TryLock(ctx)
	if err != nil {
		panic(err)
	}
	if _, err := m.TryLock(ctx); errors.Is(err, lock.ErrBusy) {
		fmt.Println("another process rebuilds the cache")
	}
	fmt.Println(held.Valid(), held.Unlock(ctx))
	// Output:
	// another process rebuilds the cache
	// true <nil>
}

// A write to the same store that only the holder can make.
func ExampleHeld_Guard() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	m, err := lock.NewMutex(store, "invoices/42", nil)
	if err != nil {
		panic(err)
	}
	old, err := m.Lock(ctx)
	if err != nil {
		panic(err)
	}
	if err := old.Unlock(ctx); err != nil {
		panic(err)
	}
	_, err = store.Commit(ctx, backend.Txn{Ops: []backend.Op{backend.Create("sent/42", nil)}}, old.Guard())
	fmt.Println(errors.Is(err, backend.ErrFenced))
	// Output: true
}

// The number of a permit names a worker.
func ExampleSemaphore() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	s, err := lock.NewSemaphore(store, "workers", 2, nil)
	if err != nil {
		panic(err)
	}
	var all []*lock.Held
	for range 2 {
		held, err := s.Acquire(ctx)
		if err != nil {
			panic(err)
		}
		fmt.Println("worker", held.Permit())
		all = append(all, held)
	}
	_, err = s.TryAcquire(ctx)
	fmt.Println(errors.Is(err, lock.ErrBusy))
	if err := s.Resize(ctx, 3); err != nil {
		panic(err)
	}
	third, err := s.TryAcquire(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println("worker", third.Permit())
	for _, held := range append(all, third) {
		if err := held.Unlock(ctx); err != nil {
			panic(err)
		}
	}
	fmt.Println(s.Remove(ctx))
	// Output:
	// worker 0
	// worker 1
	// true
	// worker 2
	// <nil>
}
