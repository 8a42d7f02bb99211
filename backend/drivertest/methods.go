package drivertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// method is a call of a driver that needs the store.
type method struct {
	name string
	call func(ctx context.Context) error
}

// methods returns a call of each kind, Revoke last. The keys of the commits are
// unique.
func (s *suite) methods(d driver.Driver, lease driver.Lease, suffix string) []method {
	key := s.key("method-" + suffix)
	return []method{
		{"Read", func(ctx context.Context) error {
			_, err := d.Read(ctx, driver.Key(key), driver.Dir(s.env.Prefix))
			return err
		}},
		{"Commit", func(ctx context.Context) error {
			_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}})
			return err
		}},
		{"Commit with a lease", func(ctx context.Context) error {
			_, err := d.Commit(ctx, driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral(key+"-ephemeral", nil)}})
			return err
		}},
		{"Watch", func(ctx context.Context) error { return d.Watch(ctx, driver.Key(key), func([]driver.Entry) {}) }},
		{"Watch of a directory", func(ctx context.Context) error {
			return d.Watch(ctx, driver.Dir(s.env.Prefix), func([]driver.Entry) {})
		}},
		{"Grant", func(ctx context.Context) error { _, err := d.Grant(ctx, s.env.TTL); return err }},
		{"Renew", func(ctx context.Context) error { _, err := lease.Renew(ctx); return err }},
		{"Revoke", func(ctx context.Context) error { return lease.Revoke(ctx) }},
	}
}

// outcome is how a call ended.
type outcome struct {
	method string
	err    error
	late   time.Duration // after its context's end; negative: before
}

// endAll starts all calls at once, ends their context after a while, by
// cancelling it or by a deadline, and returns how they ended. A call that does
// not return at all is an error, and is left out.
func (s *suite) endAll(methods []method, cancelled bool) []outcome {
	s.Helper()
	const after = 500 * time.Millisecond
	end := time.Now().Add(after)
	ctx, cancel := context.WithDeadline(s.Context(), end)
	if cancelled {
		ctx, cancel = context.WithCancel(s.Context())
		timer := time.AfterFunc(after, cancel)
		defer timer.Stop()
	}
	defer cancel()
	results := make(chan outcome, len(methods))
	var wg sync.WaitGroup
	for _, m := range methods {
		wg.Go(func() {
			err := m.call(ctx)
			results <- outcome{m.name, err, time.Since(end)}
		})
	}
	waited := make(chan struct{})
	go func() { wg.Wait(); close(results); close(waited) }()
	select {
	case <-waited:
	case <-time.After(patience):
		s.Fatalf("of %d calls %d have not returned %v after their context ended", len(methods), len(methods)-len(results), patience-after)
	}
	var all []outcome
	for o := range results {
		all = append(all, o)
	}
	return all
}

// checkEnded checks a call that got no answer before its context ended.
func (s *suite) checkEnded(o outcome, ctxErr error) {
	s.Helper()
	switch {
	case o.err == nil:
		s.Errorf("%s returned nil though it got no reply", o.method)
	case o.late > promptly:
		s.Errorf("%s returned %v after its context ended: %v", o.method, o.late, o.err)
	case o.late >= 0 && !errors.Is(o.err, ctxErr):
		s.Errorf("%s ended with its context, but its error does not wrap the context's: %v", o.method, o.err)
	}
	s.checkSentinel(o.method, o.err)
}

// checkSentinel checks that an error for want of an answer says so.
func (s *suite) checkSentinel(method string, err error) {
	s.Helper()
	indeterminate, unavailable := errors.Is(err, driver.ErrIndeterminate), errors.Is(err, driver.ErrUnavailable)
	commit := method == "Commit" || method == "Commit with a lease"
	if indeterminate && unavailable {
		s.Errorf("%s: both ErrIndeterminate and ErrUnavailable: %v", method, err)
	}
	if indeterminate && !commit {
		s.Errorf("%s: ErrIndeterminate is for commits: %v", method, err)
	}
	if !indeterminate && !unavailable {
		s.Errorf("%s: neither ErrUnavailable nor ErrIndeterminate: %v", method, err)
	}
}

// unique names a key that no other call of the test uses.
func (s *suite) unique(i int) string { return s.key(fmt.Sprintf("unique-%d", i)) }
