package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/ids"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/lock"
	"github.com/quorate/quorate/quota"
)

const (
	mutual     = "mutex" // the mutex, as it is named in the journals
	permits    = 3       // of the semaphore, at first and at most
	jobs       = 4       // mutexes that are removed again and again
	nodes      = 8       // permits that are node numbers of IDs
	perWindow  = 20      // units of the quota
	quotaEvery = 2 * time.Second
	longHold   = 300 * time.Millisecond
)

// The names of locks beside shared, and of what is owned.
func job(n int) string     { return fmt.Sprintf("job-%d", n) }
func permit(n int) string  { return fmt.Sprintf("permit/%d", n) }
func nodeOf(n int) string  { return fmt.Sprintf("node/%d", n) }
func wallMillis() int64    { return time.Now().UnixMilli() }
func sometimes(n int) bool { return rand.IntN(n) == 0 }

// locker is a mutex or a semaphore.
type locker interface {
	lock(context.Context) (*lock.Held, error)
	tryLock(context.Context) (*lock.Held, error)
}

type mutex struct{ *lock.Mutex }

func (m mutex) lock(ctx context.Context) (*lock.Held, error)    { return m.Lock(ctx) }
func (m mutex) tryLock(ctx context.Context) (*lock.Held, error) { return m.TryLock(ctx) }

type semaphore struct{ *lock.Semaphore }

func (s semaphore) lock(ctx context.Context) (*lock.Held, error)    { return s.Acquire(ctx) }
func (s semaphore) tryLock(ctx context.Context) (*lock.Held, error) { return s.TryAcquire(ctx) }

// exclude takes the mutex again and again.
func (c *client) exclude(ctx context.Context) error {
	m, err := lock.NewMutex(c.store, shared, &lock.Options{ID: c.ID})
	if err != nil {
		return err
	}
	for wait(ctx, rand.N(500*time.Millisecond)) {
		if _, err := c.hold(ctx, mutex{m}, mutual, func(*lock.Held) string { return mutual }, longHold); err != nil {
			return err
		}
	}
	return nil
}

// share takes permits of the semaphore, and now and then says how many there are.
func (c *client) share(ctx context.Context) error {
	s, err := lock.NewSemaphore(c.store, shared, permits, &lock.Options{ID: c.ID})
	if err != nil {
		return err
	}
	for wait(ctx, rand.N(500*time.Millisecond)) {
		if _, err := c.hold(ctx, semaphore{s}, "permit", func(h *lock.Held) string { return permit(h.Permit()) }, longHold); err != nil {
			return err
		}
		if sometimes(8) {
			if err := c.resize(ctx, s, permits-rand.IntN(2)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *client) resize(ctx context.Context, s *lock.Semaphore, number int) error {
	began := harness.Now()
	c.j.write(resizing, shared, 0, int64(number), began)
	switch err := s.Resize(ctx, number); {
	case err == nil:
		c.j.write(resized, shared, 0, int64(number), began)
	case ctx.Err() == nil:
		return fmt.Errorf("Resize: %w", err)
	}
	return nil
}

// workThroughJobs takes mutexes whose names change, and removes them. Nothing in
// this process remembers their tokens.
func (c *client) workThroughJobs(ctx context.Context) error {
	for wait(ctx, rand.N(time.Second)) {
		what := job(rand.IntN(jobs))
		m, err := lock.NewMutex(c.store, what, &lock.Options{ID: c.ID})
		if err != nil {
			return err
		}
		if _, err := c.hold(ctx, mutex{m}, "job", func(*lock.Held) string { return what }, 30*time.Millisecond); err != nil {
			return err
		}
		if sometimes(2) {
			bound, cancel := context.WithTimeout(ctx, 5*time.Second)
			err := m.Remove(bound)
			cancel()
			if err != nil && !errors.Is(err, lock.ErrInUse) && bound.Err() == nil {
				return fmt.Errorf("Remove: %w", err)
			}
		}
	}
	return nil
}

// hold takes a lock in one way or another, and gives it back after most at the
// latest. The name is that of what it got. It reports whether it got it.
func (c *client) hold(ctx context.Context, l locker, kind string, name func(*lock.Held) string, most time.Duration) (taken bool, err error) {
	take, patience := l.lock, time.Hour
	switch {
	case sometimes(4):
		take = l.tryLock
	case sometimes(4):
		patience = longHold
	}
	bound, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := harness.Now()
	held, err := take(bound)
	switch {
	case errors.Is(err, lock.ErrBusy), err != nil && bound.Err() != nil:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("taking a %s: %w", kind, err)
	}
	c.j.write(locked, kind, held.Token(), int64(held.Permit()), began)
	what := name(held)
	disown := c.own(what, held.Token(), held.Valid)
	select {
	case <-time.After(rand.N(most)):
	case <-held.Context().Done():
	case <-ctx.Done():
	}
	disown()
	end, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancelEnd()
	_ = held.Unlock(end) // what is left is removed in the background, or goes with the session
	if ctx.Err() == nil && sometimes(10) {
		c.stale.Go(func() { c.tryStale(ctx, what, held.Token(), held.Guard()) })
	}
	return true, nil
}

// draw draws IDs under one node number after the other.
func (c *client) draw(ctx context.Context) error {
	s, err := lock.NewSemaphore(c.store, "nodes", nodes, &lock.Options{ID: c.ID})
	if err != nil {
		return err
	}
	for generator := int64(1); ; generator++ {
		err := s.Do(ctx, func(ctx context.Context, node *lock.Held) error {
			defer c.own(nodeOf(node.Permit()), node.Token(), node.Valid)()
			g, err := ids.New(c.store, shared, node, &ids.Options{Ahead: time.Second})
			if err != nil {
				return err
			}
			defer func() { _ = g.Close() }() // without it the next holder starts later
			for range 20 + rand.IntN(200) {
				for range 5 {
					began := harness.Now()
					id, err := g.Next(ctx)
					if err != nil {
						return err
					}
					c.j.write(drawn, shared, uint64(id), generator, began)
				}
				if !wait(ctx, 100*time.Millisecond) {
					return nil
				}
			}
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, lock.ErrLost) && !errors.Is(err, backend.ErrFenced):
			return fmt.Errorf("Next: %w", err)
		}
	}
}

// spend takes units of the quota, more than there are.
func (c *client) spend(ctx context.Context) error {
	q, err := quota.New(c.store, shared, perWindow, quotaEvery, nil)
	if err != nil {
		return err
	}
	for wait(ctx, rand.N(200*time.Millisecond)) {
		patience := time.Minute
		if sometimes(5) {
			patience = 200 * time.Millisecond
		}
		bound, cancel := context.WithTimeout(ctx, patience)
		began, from := harness.Now(), wallMillis()
		ok, err := q.Take(bound, 1)
		gaveUp := bound.Err() != nil
		cancel()
		switch {
		case err == nil && ok:
			c.j.write(granted, shared, uint64(from), wallMillis(), began)
		case err == nil:
			c.j.write(refused, shared, 0, 0, began)
		case !gaveUp:
			return fmt.Errorf("Take: %w", err)
		}
	}
	return nil
}
