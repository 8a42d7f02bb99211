package drivertest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

const (
	// patience bounds every wait for something that must happen in the end.
	patience = 30 * time.Second
	// callTimeout bounds a single call.
	callTimeout = 5 * time.Second
	// promptly is how late a call may return after its context ended (C9).
	promptly = 1500 * time.Millisecond
	// pace is the pause between attempts of what is tried again and again.
	pace = 10 * time.Millisecond
)

// suite is what a check works with.
type suite struct {
	testing.TB
	env *Env

	mu     sync.Mutex // guards closed
	closed map[driver.Driver]bool
}

// close closes a driver once.
func (s *suite) close(ctx context.Context, d driver.Driver) error {
	s.mu.Lock()
	closed := s.closed[d]
	if s.closed == nil {
		s.closed = make(map[driver.Driver]bool)
	}
	s.closed[d] = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	return d.Close(ctx)
}

// open returns a driver that is closed when the test ends.
func (s *suite) open() driver.Driver {
	s.Helper()
	d := s.env.Open(s.TB)
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_ = s.close(ctx, d) // what it may return is checked by C10
		}()
		select {
		case <-closed:
		case <-time.After(patience):
			s.Errorf("Close did not return within %v", patience)
		}
	})
	return d
}

// key returns the path of a key or directory of this test.
func (s *suite) key(name string) string { return s.env.Prefix + "/" + name }

// settle calls f until it returns something else than ErrUnavailable, which a
// store may say now and then, and fails the test if that is an error.
func (s *suite) settle(what string, f func(ctx context.Context) error) {
	s.Helper()
	all, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	for {
		err := bounded(all, f)
		if err == nil {
			return
		}
		if !errors.Is(err, driver.ErrUnavailable) || !pause(all, pace) {
			s.Fatalf("%s: %v", what, err)
		}
	}
}

// bounded calls f with the time limit of a single call.
func bounded(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return f(ctx)
}

// pause waits, and reports whether ctx let it wait to the end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// eventually waits until ok does, and fails the test if it does not.
func (s *suite) eventually(what string, ok func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	for !ok() {
		if !pause(ctx, pace) {
			s.Fatalf("still not after %v: %s", patience, what)
		}
	}
}

// read reads, and spoils what the driver handed out once it has a copy: it
// must not matter to the driver.
func (s *suite) read(d driver.Driver, targets ...driver.Target) [][]driver.Entry {
	s.Helper()
	var all [][]driver.Entry
	s.settle("Read", func(ctx context.Context) (err error) {
		all, err = d.Read(ctx, targets...)
		return err
	})
	if len(all) != len(targets) {
		s.Fatalf("Read of %d targets returned %d", len(targets), len(all))
	}
	for i := range all {
		all[i] = own(all[i])
		if !slices.IsSortedFunc(all[i], func(a, b driver.Entry) int { return strings.Compare(a.Key, b.Key) }) {
			s.Errorf("Read of %q is not sorted by key: %q", targets[i].Path, keys(all[i]))
		}
	}
	return all
}

// own copies entries and spoils the originals.
func own(entries []driver.Entry) []driver.Entry {
	copied := slices.Clone(entries)
	for i := range copied {
		copied[i].Value = bytes.Clone(entries[i].Value)
		for j := range entries[i].Value {
			entries[i].Value[j] ^= 0xff
		}
		entries[i] = driver.Entry{Key: "spoiled"}
	}
	return copied
}

// list returns what lies in a directory.
func (s *suite) list(d driver.Driver, dir string) []driver.Entry {
	s.Helper()
	return s.read(d, driver.Dir(dir))[0]
}

// get returns a key's entry, and whether it is there.
func (s *suite) get(d driver.Driver, key string) (driver.Entry, bool) {
	s.Helper()
	entries := s.read(d, driver.Key(key))[0]
	if len(entries) == 0 {
		return driver.Entry{}, false
	}
	if len(entries) > 1 || entries[0].Key != key {
		s.Fatalf("Read of the key %q returned %q", key, keys(entries))
	}
	return entries[0], true
}

// there returns the entry of a key that must be there.
func (s *suite) there(d driver.Driver, key string) driver.Entry {
	s.Helper()
	e, ok := s.get(d, key)
	if !ok {
		s.Fatalf("%q is not there", key)
	}
	return e
}

// absent fails the test if a key is there.
func (s *suite) absent(d driver.Driver, key, why string) {
	s.Helper()
	if e, ok := s.get(d, key); ok {
		s.Errorf("%q is there (%q): %s", key, e.Value, why)
	}
}

// commit commits on a store that is up: the outcome must be known.
func (s *suite) commit(d driver.Driver, txn driver.Txn) driver.Result {
	s.Helper()
	var result driver.Result
	s.settle("Commit", func(ctx context.Context) (err error) {
		result, err = d.Commit(ctx, txn)
		return err
	})
	return result
}

// apply commits what must be applied, and returns the versions written.
func (s *suite) apply(d driver.Driver, ops ...driver.Op) []driver.Version {
	s.Helper()
	return s.applyUnder(d, nil, ops...)
}

// applyUnder is apply with a lease for what is ephemeral.
func (s *suite) applyUnder(d driver.Driver, lease driver.Lease, ops ...driver.Op) []driver.Version {
	s.Helper()
	txn := driver.Txn{Ops: ops}
	if lease != nil {
		txn.Lease = lease.ID()
	}
	result := s.commit(d, txn)
	if !result.Applied {
		s.Fatalf("commit was refused though its conditions hold; current: %v", result.Current)
	}
	if len(result.Versions) != len(ops) {
		s.Fatalf("commit of %d operations returned %d versions", len(ops), len(result.Versions))
	}
	return result.Versions
}

// grant opens a lease of the environment's TTL.
func (s *suite) grant(d driver.Driver) driver.Lease {
	s.Helper()
	var lease driver.Lease
	s.settle("Grant", func(ctx context.Context) (err error) {
		lease, err = d.Grant(ctx, s.env.TTL)
		return err
	})
	return lease
}

// keep renews a lease until the test ends.
func (s *suite) keep(lease driver.Lease) {
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause(ctx, lease.TTL()/8) {
			_ = bounded(ctx, func(ctx context.Context) error {
				_, err := lease.Renew(ctx)
				return err
			})
		}
	}()
	s.Cleanup(func() { cancel(); <-done })
}

// reach waits until a driver serves again after a disturbance.
func (s *suite) reach(d driver.Driver) {
	s.Helper()
	s.read(d, driver.Key(s.key("reach")))
}

func keys(entries []driver.Entry) []string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Key
	}
	return names
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
