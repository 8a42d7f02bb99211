package partition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// task is what a worker process is to do.
type task struct {
	Store string // the store's name in package harness
	Addrs []string
	ID    string
	Slots int
	Out   string // the file it appends to
}

const (
	// every is how often a body writes that it runs.
	every = 20 * time.Millisecond
	// guarded: the owner of each so many slots goes on to write to the store
	// when it no longer may.
	guarded = 8
)

// runWorker is the main function of a worker process. It leaves when its
// standard input ends: with its parent.
func runWorker(tk task, logger *slog.Logger) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone := harness.ParentGone()
	go func() {
		<-gone
		cancel()
	}()
	return work(ctx, tk, logger)
}

// work runs its share of the slots until ctx ends, and leaves.
func work(ctx context.Context, tk task, logger *slog.Logger) (err error) {
	j, err := openJournal(tk.Out)
	if err != nil {
		return err
	}
	store, err := harness.Stores[tk.Store].Open(tk.Addrs, &backend.Options{Namespace: "slots", TTL: ttl, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	group, err := membership.New(store.Store, "workers", nil)
	if err != nil {
		return err
	}
	p, err := partition.New(group, "p", &partition.Options{Slots: tk.Slots})
	if err != nil {
		return err
	}
	var stale sync.WaitGroup
	defer stale.Wait()
	reg, err := group.Join(ctx, membership.Member{ID: tk.ID})
	if err == nil {
		err = p.Run(ctx, reg, func(slotCtx context.Context, s *partition.Slot) error {
			j.run(slotCtx, s)
			if s.Number()%guarded == 0 {
				stale.Go(func() { tryStale(context.WithoutCancel(ctx), store.Store, s, j) })
			}
			return nil
		})
		err = errors.Join(err, reg.Leave(context.WithoutCancel(ctx)))
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// tryStale writes to the store under the guard of a slot whose body has
// returned, until it is refused.
func tryStale(ctx context.Context, store *backend.Store, s *partition.Slot, j *journal) {
	ctx, cancel := context.WithTimeout(ctx, 5*ttl)
	defer cancel()
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("stale/%d/%d/%d", s.Number(), s.Token(), i)
		began := harness.Now()
		_, err := store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}}, s.Guard())
		switch {
		case err == nil:
			// The claim was still there. It is wrong only if another ran the
			// slot already when the commit was sent.
			j.line(began, staleApplied, s)
		case errors.Is(err, backend.ErrFenced):
			j.line(harness.Now(), staleFenced, s)
			return
		case errors.Is(err, backend.ErrClosed):
			return
		}
		pause(every)
	}
}

// pause lets time pass.
func pause(d time.Duration) { <-time.After(d) }
