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

	mu           sync.Mutex    // guards the fields below
	read, commit error         // nil stands for the store's own answer
	changed      chan struct{} // closed when they change
}

// answer sets the answers to reads and watches, and to commits; nil stands for
// the store's own.
func (d *failing) answer(read, commit error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read, d.commit = read, commit
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *failing) ask(which *error) (error, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if *which == nil {
		return nil, d.changed
	}
	return fmt.Errorf("as the test says: %w", *which), d.changed
}

// Watch ends, as a watch of a store does, when the answers change.
func (d *failing) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	err, news := d.ask(&d.read)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-news:
			cancel()
		case <-ctx.Done():
		}
	}()
	err = d.Driver.Watch(ctx, target, changed)
	if denied, _ := d.ask(&d.read); denied != nil {
		return denied
	}
	return err
}

func (d *failing) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	d.reads.Add(1)
	if err, _ := d.ask(&d.read); err != nil {
		return nil, err
	}
	return d.Driver.Read(ctx, targets...)
}

func (d *failing) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	d.commits.Add(1)
	if err, _ := d.ask(&d.commit); err != nil {
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
	p := &process{driver: &failing{Driver: memory.NewDriver(server), changed: make(chan struct{})}}
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
