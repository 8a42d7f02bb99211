package faults

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// lease is a lease of the inner driver whose owner may be deceived.
type lease struct {
	driver.Lease
	d    *Driver
	lost chan struct{}

	mu      sync.Mutex
	early   bool // was ended behind its owner's back
	renewed time.Time
}

func (d *Driver) lease(granted driver.Lease) *lease {
	l := &lease{Lease: granted, d: d, lost: make(chan struct{}), renewed: time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running.Go(l.tend) {
		d.leases[granted.ID()] = l
	}
	return l
}

// tend passes on that the lease is lost, unless a fault keeps that from its
// owner, and keeps it longer than its owner does if a fault wants that.
func (l *lease) tend() {
	defer func() {
		l.d.mu.Lock()
		defer l.d.mu.Unlock()
		delete(l.d.leases, l.ID())
	}()
	ticker := time.NewTicker(max(l.TTL()/4, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-l.Lease.Lost():
			l.relay()
			return
		case <-ticker.C:
			if l.outstays() {
				_, _ = l.Lease.Renew(l.d.life)
			}
		case <-l.d.life.Done():
			return
		}
	}
}

// relay passes on that the lease is lost, unless that was said already.
func (l *lease) relay() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.early {
		close(l.lost)
	}
}

// outstays reports whether the owner has stopped renewing, but not for long
// enough.
func (l *lease) outstays() bool {
	l.d.mu.Lock()
	extra := l.d.extra
	l.d.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	idle := time.Since(l.renewed)
	return idle > l.TTL()/2 && idle < extra
}

// Lost implements driver.Lease.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Renew implements driver.Lease.
func (l *lease) Renew(ctx context.Context) (time.Duration, error) {
	f := l.d.begin(Renew, driver.Txn{})
	if err := l.d.send(ctx, f); err != nil {
		return 0, err
	}
	var validFor time.Duration
	var err error
	switch {
	case f.Hollow && f.Believed:
		validFor = l.TTL()
	case f.Hollow:
		err = fmt.Errorf("%w: hollow by a fault", driver.ErrNotCounted)
	default:
		validFor, err = l.Lease.Renew(ctx)
	}
	if lost := l.d.reply(ctx, f); lost != nil {
		return 0, fmt.Errorf("%w: %w", driver.ErrUnavailable, lost)
	}
	if err == nil {
		l.mu.Lock()
		l.renewed = time.Now()
		l.mu.Unlock()
	}
	return validFor, err
}

// Revoke implements driver.Lease.
func (l *lease) Revoke(ctx context.Context) error {
	f := l.d.begin(Revoke, driver.Txn{})
	if err := l.d.send(ctx, f); err != nil {
		return err
	}
	err := l.Lease.Revoke(ctx)
	if lost := l.d.reply(ctx, f); lost != nil {
		return fmt.Errorf("%w: %w", driver.ErrUnavailable, lost)
	}
	return err
}

// ExpireEarly ends, at the store, the leases granted so far: their keys go at
// once, and their owners are not told. Their next renewals find out.
func (d *Driver) ExpireEarly(ctx context.Context) error {
	d.mu.Lock()
	var leases []*lease
	for _, l := range d.leases {
		leases = append(leases, l)
	}
	d.mu.Unlock()
	for _, l := range leases {
		l.mu.Lock()
		l.early = true
		l.mu.Unlock()
		if err := l.Lease.Revoke(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ExpireLate makes the store keep leases until extra has passed since their
// owners last renewed them, where that is longer than the TTL. Zero ends it.
func (d *Driver) ExpireLate(extra time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.extra = extra
}
