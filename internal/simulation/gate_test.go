package simulation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

// gate stands between a Store and its driver: what has passed it goes its way,
// and arrives though the process crashes in the next moment.
type gate struct {
	driver.Driver

	mu     sync.Mutex
	mode   mode
	healed chan struct{} // closed when the gate opens again
	closed chan struct{} // closed by Close
	leases sync.WaitGroup
}

// mode is what passes a gate.
type mode int

const (
	open   mode = iota
	closes      // nothing passes
	mutes       // requests pass, replies do not
	dead        // nothing passes, for ever
)

func newGate(d driver.Driver) *gate {
	return &gate{Driver: d, healed: make(chan struct{}), closed: make(chan struct{})}
}

// set changes the mode. What is dead stays so.
func (g *gate) set(to mode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mode == dead || g.mode == to {
		return
	}
	if g.mode = to; to == open {
		close(g.healed)
		g.healed = make(chan struct{})
	}
}

func (g *gate) state() (mode, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mode, g.healed
}

var errSilence = errors.New("no reply")

// pass takes a call through. doubt is the error of one whose reply is missing.
func pass[T any](ctx context.Context, g *gate, doubt error, call func() (T, error)) (T, error) {
	var none T
	mode, healed := g.state()
	if mode == open || mode == mutes {
		result, err := call()
		if mode, healed = g.state(); mode == open {
			return result, err
		}
	}
	timer := time.NewTimer(memory.Patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w: %w", doubt, errSilence, ctx.Err())
	case <-healed:
	case <-timer.C:
	}
	return none, fmt.Errorf("%w: %w", doubt, errSilence)
}

// Read implements driver.Driver.
func (g *gate) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	return pass(ctx, g, driver.ErrUnavailable, func() ([][]driver.Entry, error) { return g.Driver.Read(ctx, targets...) })
}

// Commit implements driver.Driver.
func (g *gate) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	return pass(ctx, g, driver.ErrIndeterminate, func() (driver.Result, error) { return g.Driver.Commit(ctx, txn) })
}

// Watch implements driver.Driver. It fails when the gate opens again, since it
// may have missed something.
func (g *gate) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	_, healed := g.state()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-healed:
			cancel(errSilence)
		case <-ctx.Done():
		}
	}()
	_, err := pass(ctx, g, driver.ErrUnavailable, func() (struct{}, error) {
		return struct{}{}, g.Driver.Watch(ctx, target, func(entries []driver.Entry) {
			if mode, _ := g.state(); mode == open {
				changed(entries)
			}
		})
	})
	if errors.Is(context.Cause(ctx), errSilence) {
		return fmt.Errorf("%w: %w", driver.ErrUnavailable, errSilence)
	}
	return err
}

// Grant implements driver.Driver.
func (g *gate) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	return pass(ctx, g, driver.ErrUnavailable, func() (driver.Lease, error) {
		granted, err := g.Driver.Grant(ctx, ttl)
		if err != nil {
			return nil, err
		}
		l := &gatedLease{Lease: granted, gate: g, lost: make(chan struct{})}
		g.leases.Go(l.relay)
		return l, nil
	})
}

// Close implements driver.Driver.
func (g *gate) Close(ctx context.Context) error {
	close(g.closed)
	g.leases.Wait()
	return g.Driver.Close(ctx)
}

// gatedLease is a lease behind a gate.
type gatedLease struct {
	driver.Lease
	gate *gate
	lost chan struct{}
}

func (l *gatedLease) Lost() <-chan struct{} { return l.lost }

func (l *gatedLease) Renew(ctx context.Context) (time.Duration, error) {
	return pass(ctx, l.gate, driver.ErrUnavailable, func() (time.Duration, error) { return l.Lease.Renew(ctx) })
}

func (l *gatedLease) Revoke(ctx context.Context) error {
	_, err := pass(ctx, l.gate, driver.ErrUnavailable, func() (struct{}, error) { return struct{}{}, l.Lease.Revoke(ctx) })
	return err
}

// relay passes on that the lease is lost, once the gate lets that through.
func (l *gatedLease) relay() {
	select {
	case <-l.Lease.Lost():
	case <-l.gate.closed:
		return
	}
	for {
		mode, healed := l.gate.state()
		if mode == open {
			close(l.lost)
			return
		}
		select {
		case <-healed:
		case <-l.gate.closed:
			return
		}
	}
}

// witness is a driver below all faults: it shows each commit as it is applied,
// in order, and each lease.
type witness struct {
	driver.Driver
	s *simulation
}

func (w witness) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	result, err := w.Driver.Commit(ctx, txn)
	if err == nil && result.Applied {
		w.s.landed(txn)
	}
	return result, err
}

func (w witness) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	lease, err := w.Driver.Grant(ctx, ttl)
	if err == nil {
		w.s.mu.Lock()
		defer w.s.mu.Unlock()
		w.s.leases = append(w.s.leases, lease.ID())
	}
	return lease, err
}
