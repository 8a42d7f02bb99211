package counter_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
)

// An add whose caller gives up before anything was sent is not part of the
// commit that is then sent for the others.
func TestGivenUpBeforeTheBaseIsRead(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		p.faults.Next(faults.Read, faults.Fault{Delay: 2 * time.Second})
		other := make(chan struct{})
		go func() {
			defer close(other)
			p.add(t, 1, 1)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Add(ctx, 100); err == nil || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("given up before anything was sent: %v", err)
		}
		<-other
		p.value(t, 1)
	})
}

// An add that was given up, and reported as not applied, is not tried again,
// though the others with whom it was in doubt are, and though by then it could
// be applied.
func TestGivenUpWhileRefusedStaysOut(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		p.add(t, 5, 5)
		p.faults.Next(faults.Commit, faults.Fault{Delay: time.Second})
		busy := make(chan struct{})
		go func() {
			defer close(busy)
			p.add(t, 0, 5)
		}()
		synctest.Wait()

		// These two go out together, and are in doubt.
		p.faults.Next(faults.Commit, faults.Fault{LandLater: 24 * time.Hour})
		p.faults.Next(faults.Read, faults.Fault{Delay: time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		given := make(chan error, 1)
		go func() {
			_, err := p.CompareAndSet(ctx, 5, 100)
			given <- err
		}()
		synctest.Wait()
		added := make(chan error, 1)
		go func() {
			_, err := p.Add(t.Context(), 1)
			added <- err
		}()
		<-busy
		time.Sleep(500 * time.Millisecond)
		q.add(t, 1, 6)

		// On 6 the comparison fails, and the add is sent again.
		p.faults.Next(faults.Commit, faults.Fault{Delay: 10 * time.Second})
		time.Sleep(2 * time.Second)
		cancel()
		if err := <-given; !errors.Is(err, context.Canceled) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("given up while refused: %v", err)
		}
		q.add(t, -1, 5) // on 5 it would succeed
		if err := <-added; err != nil {
			t.Error(err)
		}
		p.value(t, 6)
		time.Sleep(48 * time.Hour)
		p.value(t, 6)
	})
}
