package memory_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

// announce is a part of a service of yours: it keeps a key in the store for as
// long as this process is there, and announces it anew after a lost session.
func announce(ctx context.Context, store *backend.Store, key string) error {
	return store.Retry(ctx, backend.Subject{Kind: "announcement", Name: key}, "announce", func(ctx context.Context) error {
		for {
			session, err := store.Session(ctx)
			if err != nil {
				return err
			}
			_, err = store.Commit(ctx, backend.Txn{
				Ops:   []backend.Op{driver.CreateEphemeral(key, nil)},
				Lease: session.ID(),
			})
			if err != nil && session.Context().Err() == nil {
				return err
			}
			select {
			case <-session.Context().Done():
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
}

// TestExampleCutConnection shows how to test what your own service does when
// the network fails. In a bubble of testing/synctest the minutes that it plays
// take milliseconds, and a goroutine that the service leaves behind fails it.
func TestExampleCutConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer() // the store that both processes share

		connection := memory.NewDriver(server) // the service's own way to it
		service, err := backend.New(connection, &backend.Options{TTL: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer service.Close()
		observer, err := memory.Open(server, nil) // another process
		if err != nil {
			t.Fatal(err)
		}
		defer observer.Close()
		seen := func() bool {
			synctest.Wait()
			_, found, err := observer.Get(t.Context(), "workers/a")
			if err != nil {
				t.Fatal(err)
			}
			return found
		}

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := announce(ctx, service, "workers/a"); ctx.Err() == nil {
				t.Errorf("the service ended by itself: %v", err)
			}
		}()
		defer func() { stop(); <-ended }()

		time.Sleep(time.Minute)
		if !seen() {
			t.Error("undisturbed, the key is not there")
		}
		connection.Cut()
		if !seen() {
			t.Error("the key went before its TTL was over")
		}
		time.Sleep(time.Minute)
		if seen() {
			t.Error("a minute after the cut the key is still there")
		}
		connection.Heal()
		time.Sleep(time.Minute)
		if !seen() {
			t.Error("a minute after the connection is back the key is not")
		}
	})
}
