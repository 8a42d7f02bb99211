package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// worker is what would be a process of its own.
type worker struct {
	id       string
	store    *backend.Store
	election *election.Election
	group    *membership.Group
	work     *partition.Partition
	counter  *counter.Counter
	tally    *counter.Tally

	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newWorker(id string, openStore func() (*backend.Store, error), slots int) (*worker, error) {
	w := &worker{id: id}
	var err error
	if w.store, err = openStore(); err != nil {
		return nil, err
	}
	errs := make([]error, 5)
	w.election, errs[0] = election.New(w.store, "billing/nightly", &election.Options{ID: id, Meta: map[string]string{"version": "1.4.2"}})
	w.group, errs[1] = membership.New(w.store, "workers", nil)
	if errs[1] == nil {
		w.work, errs[2] = partition.New(w.group, "shards", &partition.Options{Slots: slots})
	}
	w.counter, errs[3] = counter.New(w.store, "tickets", nil)
	w.tally, errs[4] = counter.NewTally(w.store, "requests", nil)
	return w, errors.Join(errs...)
}

// start begins to work; stop ends it, and waits until it has ended.
func (w *worker) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.running.Go(func() {
		_ = w.election.Run(ctx, func(ctx context.Context, _ *election.Leadership) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
	})
	w.running.Go(func() { w.share(ctx) })
	w.running.Go(func() { w.count(ctx) })
}

func (w *worker) stop() {
	w.cancel()
	w.running.Wait()
}

func (w *worker) close() error {
	return errors.Join(w.tally.Close(), w.group.Close(), w.store.Close())
}

// share runs slots, each of which takes a moment to finish what it has begun.
func (w *worker) share(ctx context.Context) {
	reg, err := w.group.Join(ctx, membership.Member{ID: w.id, Addr: w.id + ".example:8443", Meta: map[string]string{"zone": "eu-1"}})
	if err != nil {
		return // told to stop meanwhile
	}
	_ = w.work.Run(ctx, reg, func(ctx context.Context, _ *partition.Slot) error {
		<-ctx.Done()
		time.Sleep(rand.N(1500 * time.Millisecond))
		return nil
	})
	leaving, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = reg.Leave(leaving) // what is not left by then goes with the session
}

func (w *worker) count(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := w.counter.Add(ctx, 1); err != nil {
			return
		}
		w.tally.Add(rand.Int64N(100))
		pause(ctx, 200*time.Millisecond+rand.N(200*time.Millisecond))
	}
}
