package election_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

// Of all processes that run this, one sends the invoices.
func ExampleElection_Run() {
	// A service has a store of its own here: etcd.New(client, nil), say.
	store, err := memory.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	e, err := election.New(store, "billing/nightly", &election.Options{ID: "pod-7"})
	if err != nil {
		log.Fatal(err)
	}
	err = e.Run(context.Background(), func(ctx context.Context, lead *election.Leadership) error {
		for _, invoice := range []string{"A-1", "A-2"} {
			if ctx.Err() != nil {
				return context.Cause(ctx) // no longer the leader: stop at once
			}
			fmt.Println(e.Name(), "sends", invoice)
		}
		return nil // done: the office is given up
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = e.Leader(context.Background())
	fmt.Println("then:", errors.Is(err, election.ErrNoLeader))
	// Output:
	// billing/nightly sends A-1
	// billing/nightly sends A-2
	// then: true
}

// A leader that was cut off does not get its write through once another leads.
func ExampleLeadership_Guard() {
	ctx := context.Background()
	server := memory.NewServer() // one store, two processes
	connection := memory.NewDriver(server)
	old, err := backend.New(connection, &backend.Options{TTL: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer old.Close()
	next, err := memory.Open(server, &backend.Options{TTL: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer next.Close()

	campaign := func(store *backend.Store) *election.Leadership {
		e, err := election.New(store, "accounts", nil)
		if err != nil {
			log.Fatal(err)
		}
		lead, err := e.Campaign(ctx)
		if err != nil {
			log.Fatal(err)
		}
		return lead
	}
	first := campaign(old)
	defer func() { _ = first.Resign(ctx) }() // says that its work has stopped
	err = old.Put(ctx, "balances/7", []byte("100"), first.Guard())
	fmt.Println("the leader writes:", err)

	connection.Cut() // the network fails, and the store gives up on the leader
	second := campaign(next)
	defer func() { _ = second.Resign(ctx) }()
	fmt.Println("the next term is higher:", second.Term() > first.Term())

	connection.Heal()
	err = old.Put(ctx, "balances/7", []byte("200"), first.Guard())
	fmt.Println("the old leader is fenced:", errors.Is(err, backend.ErrFenced))
	err = next.Put(ctx, "balances/7", []byte("300"), second.Guard())
	fmt.Println("the new one writes:", err)
	// Output:
	// the leader writes: <nil>
	// the next term is higher: true
	// the old leader is fenced: true
	// the new one writes: <nil>
}

// serve is a service of yours: as long as it leads it works once a second.
func serve(ctx context.Context, store *backend.Store, work func()) error {
	e, err := election.New(store, "reports", nil)
	if err != nil {
		return err
	}
	return e.Run(ctx, func(ctx context.Context, _ *election.Leadership) error {
		for {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Second):
				work()
			}
		}
	})
}

// TestExampleCutConnection shows how to test what your own service does when
// the network fails. In a bubble of testing/synctest the minutes that it plays
// take milliseconds, and a goroutine that the service leaves behind fails it.
func TestExampleCutConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer() // the store that all processes share
		start := func() (connection *memory.Driver, worked *atomic.Int64) {
			connection, worked = memory.NewDriver(server), new(atomic.Int64)
			store, err := backend.New(connection, &backend.Options{TTL: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				if err := serve(ctx, store, func() { worked.Add(1) }); ctx.Err() == nil {
					t.Errorf("the service ended by itself: %v", err)
				}
			}()
			t.Cleanup(func() {
				stop()
				<-ended
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // until it leads, or waits for its turn
			return connection, worked
		}
		connection, first := start()
		_, second := start()
		// minute lets a minute pass and says how often each worked in it.
		minute := func() (int64, int64) {
			time.Sleep(time.Minute)
			synctest.Wait()
			return first.Swap(0), second.Swap(0)
		}

		if a, b := minute(); a != 60 || b != 0 {
			t.Errorf("undisturbed, the first worked %d times and the second %d, want 60 and 0", a, b)
		}
		connection.Cut()
		if a, b := minute(); a > 10 || b < 48 || a+b > 60 {
			t.Errorf("with the first cut off, it worked %d times and the second %d, want 10 at most and 48 at least", a, b)
		}
		connection.Heal() // the first waits for its turn now
		if a, b := minute(); a != 0 || b != 60 {
			t.Errorf("afterwards the first worked %d times and the second %d, want 0 and 60", a, b)
		}
	})
}
