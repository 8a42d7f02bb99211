package refusals

import (
	"context"
	"testing"
	"time"

	"github.com/quorate/quorate/election"
)

// candidate is a process that leads, or waits to.
type candidate struct {
	leads chan struct{}
	ended chan error
	stop  context.CancelFunc
}

func campaign(t testing.TB, p *process) *candidate {
	t.Helper()
	e, err := election.New(p.Store, "alone", nil)
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	c := &candidate{leads: make(chan struct{}, 10), ended: make(chan error, 1), stop: stop}
	go func() {
		c.ended <- e.Run(ctx, func(ctx context.Context, _ *election.Leadership) error {
			c.leads <- struct{}{}
			<-ctx.Done()
			return nil
		})
	}()
	return c
}

// takesOver waits until c leads, and holds it to the bound.
func (c *candidate) takesOver(t testing.TB, store string, since time.Time) {
	t.Helper()
	select {
	case <-c.leads:
	case err := <-c.ended:
		t.Fatalf("Run = %v", err)
	case <-time.After(patience):
		t.Fatal("nobody leads")
	}
	took, bound := time.Since(since), 2*ttl+2*time.Second
	t.Logf("%s: another leads after %v", store, took)
	if slack := 2 * time.Second; took > bound+slack { // the tests have company
		t.Errorf("another leads after %v, at most %v is meant", took, bound)
	}
}

// TestPermissionTakenFromACandidate: a candidate that may not write any more
// holds the others up for two TTLs and 2 s at most, whether it leads and is to
// resign, or waits at the head of the queue; when the permission is back a
// campaign of the same Store works.
func TestPermissionTakenFromACandidate(t *testing.T) {
	eachGuarded(t, 1, func(t *testing.T, store string, g *guarded) {
		processes := make(map[string]*process)
		for _, name := range []string{"a", "b", "c"} {
			processes[name] = g.open(t, name)
		}
		leader := campaign(t, processes["a"])
		leader.takesOver(t, store, time.Now())
		waiting := campaign(t, processes["b"])
		time.Sleep(300 * time.Millisecond) // so that b is ahead of c
		last := campaign(t, processes["c"])
		time.Sleep(300 * time.Millisecond)

		// The one at the head of the queue may not write when its turn comes.
		g.allow(t, "b", false)
		began := time.Now()
		leader.stop()
		last.takesOver(t, store, began)
		_ = <-leader.ended

		// The leader may not write when it is to resign.
		g.allow(t, "b", true)
		waiting.stop()
		_ = <-waiting.ended
		next := campaign(t, processes["b"])
		time.Sleep(300 * time.Millisecond)
		g.allow(t, "c", false)
		began = time.Now()
		last.stop()
		next.takesOver(t, store, began)
		_ = <-last.ended

		// A new campaign of the same Store works once it may write again.
		g.allow(t, "c", true)
		again := campaign(t, processes["c"])
		next.stop()
		again.takesOver(t, store, time.Now())
	})
}
