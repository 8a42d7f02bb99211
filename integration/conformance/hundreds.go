package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
)

// Hundreds holds a process with a hundred elections, in each of which another
// waits, a hundred groups, and a hundred observers within the connections that
// the servers allow an address by default: open counts those of d.
func Hundreds(t *testing.T, d, other driver.Driver, most int, open func() int) {
	const n = 100
	openStore := func(d driver.Driver) *backend.Store {
		s, err := backend.New(d, &backend.Options{Namespace: "hundreds", TTL: 8 * time.Second})
		Must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var peak int
	var counting sync.WaitGroup
	counted, stop := context.WithCancel(ctx)
	defer counting.Wait()
	defer stop()
	counting.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for counted.Err() == nil {
			peak = max(peak, open())
			<-tick.C
		}
	})
	one, two := openStore(d), openStore(other)
	var (
		led, joined, won sync.WaitGroup
		leads            = make([]*election.Leadership, n)
		changed          = make([]chan struct{}, n) // closed when an Observe has seen the other lead
	)
	for i := range n {
		name := fmt.Sprintf("e%02d", i)
		led.Go(func() {
			e, err := election.New(one, name, &election.Options{ID: "one"})
			if err == nil {
				leads[i], err = e.Campaign(ctx)
			}
			if err != nil {
				t.Errorf("Campaign: %v", err)
			}
		})
		joined.Go(func() {
			g, err := membership.New(one, name, nil)
			if err == nil {
				_, err = g.Join(ctx, membership.Member{ID: "one"})
			}
			if err != nil {
				t.Errorf("Join: %v", err)
			}
		})
	}
	led.Wait()
	joined.Wait()
	if t.Failed() {
		return
	}
	var observers sync.WaitGroup
	defer observers.Wait()
	defer cancel()
	for i := range n {
		name := fmt.Sprintf("e%02d", i)
		changed[i] = make(chan struct{})
		e, err := election.New(two, name, &election.Options{ID: "two"})
		Must(t, err)
		won.Go(func() {
			if _, err := e.Campaign(ctx); err != nil {
				t.Errorf("the other's Campaign: %v", err)
			}
		})
		observer, err := election.New(one, name, nil)
		Must(t, err)
		observers.Go(func() {
			for leader, err := range observer.Observe(ctx) {
				if err == nil && leader.ID == "two" {
					close(changed[i])
					return
				}
			}
		})
	}
	for _, lead := range leads {
		Must(t, lead.Resign(ctx))
	}
	won.Wait()
	for _, c := range changed {
		select {
		case <-c:
		case <-ctx.Done():
			t.Fatal("an Observe has not seen who leads now")
		}
	}
	stop()
	counting.Wait()
	if peak > most {
		t.Errorf("up to %d connections, want %d at most", peak, most)
	}
	t.Logf("%d elections, groups and observers: up to %d connections, %d in the end", n, peak, open())
}
