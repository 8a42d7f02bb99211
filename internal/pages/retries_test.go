package pages_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/ids"
	"github.com/quorate/quorate/lock"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/quota"
	"github.com/quorate/quorate/restart"
)

// retried is a set of the operations that were tried again.
type retried struct {
	mu  sync.Mutex // guards all
	all map[backend.Retrying]bool
}

func (r *retried) add(e backend.Retrying) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[backend.Retrying{Operation: e.Operation, Kind: e.Kind, Name: e.Name}] = true
}

// TestEveryRetryHasItsRow runs every primitive through outages of the store. The
// page lists each operation that is tried again, and each event names its
// primitive.
func TestEveryRetryHasItsRow(t *testing.T) {
	rows := map[backend.Kind][]string{}
	for _, row := range table(t, "Kind", "Operations that are tried again") {
		rows[backend.Kind(only(t, row[0]))] = codes(row[1])
	}
	const name = "a/b 1"
	seen := retried{all: map[backend.Retrying]bool{}}
	synctest.Test(t, func(t *testing.T) { outages(t, name, &seen) })
	kinds := map[backend.Kind]bool{}
	for e := range seen.all {
		kinds[e.Kind] = true
		if !slices.Contains(rows[e.Kind], string(e.Operation)) {
			t.Errorf("%q of %q is tried again, which its row lacks", e.Operation, e.Kind)
		}
		if e.Kind != backend.KindSession && e.Name != name || e.Kind == backend.KindSession && e.Name != "" {
			t.Errorf("%q of %q is traced with the name %q", e.Operation, e.Kind, e.Name)
		}
	}
	for kind := range rows {
		if !kinds[kind] {
			t.Errorf("nothing of the kind %q was tried again", kind)
		}
	}
	for _, want := range []backend.Retrying{
		{Operation: "grant", Kind: backend.KindSession},
		{Operation: "campaign", Kind: backend.KindElection, Name: name},
		{Operation: "resign", Kind: backend.KindElection, Name: name},
		{Operation: "remove", Kind: backend.KindMutex, Name: name},
		{Operation: "resize", Kind: backend.KindSemaphore, Name: name},
		{Operation: "remove", Kind: backend.KindSemaphore, Name: name},
		{Operation: "register", Kind: backend.KindMembership, Name: name},
		{Operation: "leave", Kind: backend.KindMembership, Name: name},
		{Operation: "release all slots", Kind: backend.KindPartition, Name: name},
		{Operation: "claim", Kind: backend.KindCheckpoint, Name: name},
		{Operation: "save", Kind: backend.KindCheckpoint, Name: name},
	} {
		if !seen.all[want] {
			t.Errorf("%+v was not traced, only %v", want, slices.Collect(maps.Keys(seen.all)))
		}
	}
}

// outages begins and ends the work of every primitive while the store is away.
func outages(t *testing.T, name string, seen *retried) {
	server := memory.NewServer()
	store, err := backend.New(memory.NewDriver(server), &backend.Options{CallTimeout: time.Second, Trace: &backend.Trace{Retrying: seen.add}})
	must(t, err)
	defer func() { must(t, store.Close()) }()
	// outage makes all of the work begin in an outage, which ends after 4 s.
	outage := func(work ...func() error) {
		server.SetDown(true)
		var running sync.WaitGroup
		for _, f := range work {
			running.Go(func() { must(t, f()) })
		}
		time.Sleep(4 * time.Second)
		server.SetDown(false)
		running.Wait()
	}
	ctx := t.Context()
	outage(func() error {
		_, err := store.Session(ctx)
		return err
	})

	e, err := election.New(store, name, nil)
	must(t, err)
	group, err := membership.New(store, name, nil)
	must(t, err)
	slots, err := partition.New(group, name, &partition.Options{Slots: 3})
	must(t, err)
	checkpoint, err := restart.NewCheckpoint[int](store, name, nil)
	must(t, err)
	count, err := counter.New(store, name, nil)
	must(t, err)
	sequence, err := counter.NewSequence(store, name, nil)
	must(t, err)
	tally, err := counter.NewTally(store, name, nil)
	must(t, err)

	mutex, err := lock.NewMutex(store, name, nil)
	must(t, err)
	semaphore, err := lock.NewSemaphore(store, name, 1, nil)
	must(t, err)

	perHour, err := quota.New(store, name, 5, time.Hour, nil)
	must(t, err)
	var leads *election.Leadership
	var locked, permit *lock.Held
	var member *membership.Registration
	outage(
		func() (err error) { leads, err = e.Campaign(ctx); return err },
		func() (err error) { locked, err = mutex.Lock(ctx); return err },
		func() (err error) { permit, err = semaphore.Acquire(ctx); return err },
		func() (err error) { member, err = group.Join(ctx, membership.Member{ID: "m"}); return err },
		func() error { _, _, err := checkpoint.Claim(ctx); return err },
		func() error { _, err := count.Add(ctx, 1); return err },
		func() error { _, err := sequence.Next(ctx); return err },
		func() error { tally.Add(1); return tally.Flush(ctx) },
		func() error { _, err := perHour.Take(ctx, 1); return err },
	)
	generator, err := ids.New(store, name, node{leads}, nil)
	must(t, err)
	outage(
		func() error { _, err := generator.Next(ctx); return err },
		func() error { return count.Delete(ctx) },
		func() error { return sequence.Delete(ctx) },
		func() error { return perHour.Delete(ctx) },
	)
	outage(func() error {
		_ = generator.Close() // it gives up before the outage ends
		return nil
	})

	runs, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	began := make(chan struct{}, 3)
	running.Go(func() {
		_ = slots.Run(runs, member, func(ctx context.Context, _ *partition.Slot) error {
			began <- struct{}{}
			<-ctx.Done()
			return nil
		})
	})
	for range 3 {
		<-began
	}
	outage(
		func() error { stop(); running.Wait(); return nil },
		func() error { return leads.Resign(ctx) },
		func() error { return locked.Unlock(ctx) },
		func() error { return permit.Unlock(ctx) },
		func() error { return checkpoint.Save(ctx, 1) },
		func() error { return member.Leave(ctx) },
	)
	// A session that was lost in an outage holds its keys until it expires.
	time.Sleep(time.Minute)
	outage(
		func() error { return mutex.Remove(ctx) },
		func() error { return semaphore.Resize(ctx, 2) },
	)
	outage(func() error { return semaphore.Remove(ctx) })
	must(t, sequence.Close())
	must(t, tally.Close())
	must(t, group.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
