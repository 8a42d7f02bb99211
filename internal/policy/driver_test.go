package policy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

// failing is a driver whose store gives the answers that a test tells it to.
// Leases are kept all the same, as by a store whose policy is about keys alone.
type failing struct {
	driver.Driver
	reads, commits atomic.Int64
	mu             sync.Mutex
	read, commit   func() error // nil stands for the store's own answer
}

// answer sets the answers; nil stands for the store's own.
func (d *failing) answer(read, commit error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read, d.commit = always(read), always(commit)
}

func always(err error) func() error {
	if err == nil {
		return nil
	}
	return func() error { return fmt.Errorf("as the test says: %w", err) }
}

func (d *failing) ask(which *func() error) error {
	d.mu.Lock()
	f := *which
	d.mu.Unlock()
	if f == nil {
		return nil
	}
	return f()
}

func (d *failing) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	d.reads.Add(1)
	if err := d.ask(&d.read); err != nil {
		return nil, err
	}
	return d.Driver.Read(ctx, targets...)
}

func (d *failing) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	d.commits.Add(1)
	if err := d.ask(&d.commit); err != nil {
		return driver.Result{}, err
	}
	return d.Driver.Commit(ctx, txn)
}

// process is a Store over a failing driver, with what it logs at WARN and
// reports as tried again.
type process struct {
	*backend.Store
	driver   *failing
	warnings atomic.Int64
	retries  atomic.Int64
}

func start(t *testing.T, server *memory.Server) *process {
	t.Helper()
	p := &process{driver: &failing{Driver: memory.NewDriver(server)}}
	store, err := backend.New(p.driver, &backend.Options{
		Logger: slog.New(counting{slog.DiscardHandler, &p.warnings}),
		Trace:  &backend.Trace{Retrying: func(backend.Retrying) { p.retries.Add(1) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Store = store
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Session(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// counting is a slog.Handler that counts warnings.
type counting struct {
	slog.Handler
	warnings *atomic.Int64
}

func (c counting) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (c counting) Handle(context.Context, slog.Record) error {
	c.warnings.Add(1)
	return nil
}

// must fails the test at once on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within fails unless done is closed within d.
func within(t *testing.T, what string, d time.Duration, done <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatalf("%s: not within %v", what, d)
	}
}
