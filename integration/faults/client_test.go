package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/integration/judge"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/restart"
)

// The names of what all clients share.
const (
	namespace = "faults"
	plain     = "plain"  // an election
	strict    = "strict" // an election with Options.Strict
	shared    = "shared" // all else
	slots     = 24
	maxBlock  = 8 // of the sequence
)

// tallyEvery is how often a client adds to the tally, flushEvery how often it
// flushes it.
const (
	tallyEvery = 10 * time.Millisecond
	flushEvery = 500 * time.Millisecond
	givenEvery = 20 // adds are written down at once
)

// task is what a process is to do.
type task struct {
	Store string // which, a key of harness.Stores
	Addrs []string
	TTL   time.Duration
	ID    string
	Out   string // the journal
	Storm int    // so many Stores instead of one client
}

func do(tk task, logger *slog.Logger) error {
	before, _ := goroutines()
	gone := harness.ParentGone()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-gone
		cancel()
	}()
	j, err := openJournal(tk.Out)
	if err != nil {
		return err
	}
	if tk.Storm > 0 {
		return storm(ctx, tk, j)
	}
	if err := work(ctx, tk, j, logger); err != nil {
		return err
	}
	return leaked(before)
}

// leaked returns an error unless there are soon no more goroutines than there
// were, those that run servers left out.
func leaked(before int) error {
	for deadline := time.Now().Add(3 * time.Second); ; pause(10 * time.Millisecond) {
		n, what := goroutines()
		if n <= before {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("there are %d goroutines, and were %d: %s", n, before, what)
		}
	}
}

// goroutines counts those that there are, in all and by what began them.
func goroutines() (n int, what string) {
	stacks := make([]byte, 1<<22)
	stacks = stacks[:runtime.Stack(stacks, true)]
	count := make(map[string]int)
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "integration/cluster.") || strings.Contains(stack, "os/exec.") {
			continue
		}
		n++
		lines := strings.Split(strings.TrimSpace(stack), "\n")
		creator, _, _ := strings.Cut(lines[max(len(lines)-2, 0)], " in goroutine ")
		count[creator+" at "+strings.TrimSpace(lines[len(lines)-1])]++
	}
	var all []string
	for creator, n := range count {
		all = append(all, fmt.Sprintf("%d %s", n, creator))
	}
	slices.Sort(all)
	return n, strings.Join(all, "; ")
}

// pause lets time pass.
func pause(d time.Duration) { <-time.After(d) }

// wait lets time pass, and reports whether ctx is still on.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// client is a process that uses everything at once.
type client struct {
	task
	j     *journal
	store *backend.Store
	stale sync.WaitGroup

	mu    sync.Mutex
	owned map[*owned]struct{}
}

// owned is what a client owns.
type owned struct {
	what  string
	token uint64
	valid func() bool
	since int64
}

// work uses everything until ctx ends, and leaves nothing behind.
func work(ctx context.Context, tk task, j *journal, logger *slog.Logger) error {
	store, err := harness.Stores[tk.Store].Open(tk.Addrs, &backend.Options{Namespace: namespace, TTL: tk.TTL, Logger: logger})
	if err != nil {
		return err
	}
	c := &client{task: tk, j: j, store: store.Store, owned: make(map[*owned]struct{})}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, part := range []func(context.Context) error{
		c.beat,
		func(ctx context.Context) error { return c.campaign(ctx, plain, nil) },
		func(ctx context.Context) error { return c.campaign(ctx, strict, &election.Options{Strict: true}) },
		c.count, c.tally, c.number, c.belong, c.exclude, c.share, c.workThroughJobs, c.draw, c.spend,
	} {
		all.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	c.stale.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return errors.Join(err, store.Close())
}

// own says that the client owns something, until it calls what is returned.
func (c *client) own(what string, token uint64, valid func() bool) (disown func()) {
	o := &owned{what, token, valid, harness.Now()}
	c.j.append(o.line(o.since))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owned[o] = struct{}{}
	return func() {
		c.j.append(o.line(harness.Now()))
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.owned, o)
	}
}

// line says that it is owned, if it is valid now. The clock was read before that
// is asked, so the line is true at its time.
func (o *owned) line(now int64) string {
	if !o.valid() {
		return ""
	}
	return text(now, valid, o.what, o.token, o.since, 0)
}

// beat writes down, again and again, what is owned.
func (c *client) beat(ctx context.Context) error {
	for wait(ctx, 20*time.Millisecond) {
		c.mu.Lock()
		now := harness.Now()
		var lines strings.Builder
		for o := range c.owned {
			lines.WriteString(o.line(now))
		}
		c.mu.Unlock()
		if lines.Len() > 0 {
			c.j.append(lines.String())
		}
	}
	return nil
}

// campaign leads whenever it may. The leader of the plain election works
// through the checkpoint.
func (c *client) campaign(ctx context.Context, name string, opts *election.Options) error {
	e, err := election.New(c.store, name, opts)
	if err != nil {
		return err
	}
	progress, err := restart.NewCheckpoint[int64](c.store, shared, nil)
	if err != nil {
		return err
	}
	return e.Run(ctx, func(leading context.Context, l *election.Leadership) error {
		disown := c.own(name, l.Term(), l.Valid)
		if name == plain {
			c.progress(leading, l, progress)
		}
		<-leading.Done()
		disown()
		if ctx.Err() == nil {
			c.stale.Go(func() { c.tryStale(ctx, name, l.Term(), l.Guard()) })
		}
		return nil
	})
}

// progress counts on where the last leader was acknowledged.
func (c *client) progress(ctx context.Context, l *election.Leadership, p *restart.Checkpoint[int64]) {
	for ctx.Err() == nil {
		began := harness.Now()
		value, _, err := p.Claim(ctx, l.Guard())
		if err != nil {
			wait(ctx, 200*time.Millisecond)
			continue
		}
		c.j.write(claimed, shared, l.Term(), value, began)
		for !errors.Is(err, backend.ErrFenced) && wait(ctx, 100*time.Millisecond) {
			value++
			began := harness.Now()
			c.j.write(saving, shared, l.Term(), value, began)
			if err = p.Save(ctx, value); err == nil {
				c.j.write(saved, shared, l.Term(), value, began)
			}
		}
	}
}

// tryStale writes under the guard of an ownership that is over, until it is
// refused.
func (c *client) tryStale(ctx context.Context, what string, token uint64, guard backend.Guard) {
	ctx, cancel := context.WithTimeout(ctx, 5*c.TTL)
	defer cancel()
	for i := 0; wait(ctx, 50*time.Millisecond); i++ {
		began := harness.Now()
		// In one directory: what is refused leaves nothing behind, also on ZooKeeper.
		key := fmt.Sprintf("stale/%s-%d-%d-%d", strings.ReplaceAll(what, "/", "-"), token, began, i)
		switch _, err := c.store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}}, guard); {
		case err == nil:
			c.j.write(staleApplied, what, token, 0, began)
		case errors.Is(err, backend.ErrFenced):
			c.j.write(staleFenced, what, token, 0, began)
			return
		}
	}
}

// count adds, now and then with little patience, so that what was given up can
// land late.
func (c *client) count(ctx context.Context) error {
	n, err := counter.New(c.store, shared, nil)
	if err != nil {
		return err
	}
	for wait(ctx, rand.N(300*time.Millisecond)) {
		patience := time.Minute
		if rand.IntN(5) == 0 {
			patience = 500 * time.Millisecond
		}
		bound, cancel := context.WithTimeout(ctx, patience)
		began, delta := harness.Now(), judge.SomeDelta()
		c.j.write(adding, shared, 0, delta, began)
		result, err := n.Add(bound, delta)
		cancel()
		switch {
		case err == nil:
			c.j.write(added, shared, uint64(result), delta, began)
		case errors.Is(err, backend.ErrIndeterminate):
			c.j.write(addDoubt, shared, 0, delta, began)
		case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
			c.j.write(addNever, shared, 0, delta, began)
		default:
			return fmt.Errorf("Add: %w", err)
		}
	}
	return nil
}

// tally counts what need not be right at once.
func (c *client) tally(ctx context.Context) error {
	t, err := counter.NewTally(c.store, shared, &counter.TallyOptions{Interval: flushEvery})
	if err != nil {
		return err
	}
	var sum atomic.Int64
	var adds sync.WaitGroup
	adds.Go(func() {
		for wait(ctx, tallyEvery) {
			// Before, so that it is never less than what can be counted.
			if n := sum.Add(1); n%givenEvery == 0 {
				c.j.write(given, shared, 0, n, 0)
			}
			t.Add(1)
		}
	})
	for wait(ctx, flushEvery) {
		began := harness.Now()
		before := sum.Load() - 1 // the last may not have been added yet
		bound, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := t.Flush(bound)
		cancel()
		switch {
		case err == nil:
			c.j.write(flushed, shared, 0, before, began)
		case bound.Err() == nil:
			return fmt.Errorf("Flush: %w", err)
		}
	}
	adds.Wait()
	began := harness.Now()
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := errors.Join(t.Flush(bound), t.Close()); err != nil {
		return fmt.Errorf("Tally.Close: %w", err)
	}
	c.j.write(flushed, shared, 0, sum.Load(), began)
	c.j.write(given, shared, 0, sum.Load(), began)
	c.j.write(ended, shared, 0, 0, began)
	return nil
}

// number takes numbers.
func (c *client) number(ctx context.Context) error {
	s, err := counter.NewSequence(c.store, shared, &counter.SequenceOptions{MaxBlock: maxBlock})
	if err != nil {
		return err
	}
	defer s.Close()
	for wait(ctx, 100*time.Millisecond) {
		began := harness.Now()
		switch n, err := s.Next(ctx); {
		case err == nil:
			c.j.write(numbered, shared, n, 0, began)
		case ctx.Err() == nil:
			return fmt.Errorf("Next: %w", err)
		}
	}
	return nil
}

// belong is a member of the group, writes down whom it sees, and runs its
// share of the slots.
func (c *client) belong(ctx context.Context) (err error) {
	group, err := membership.New(c.store, shared, nil)
	if err != nil {
		return err
	}
	p, err := partition.New(group, shared, &partition.Options{Slots: slots})
	if err != nil {
		return err
	}
	reg, err := group.Join(ctx, membership.Member{ID: c.ID})
	if err != nil {
		return err
	}
	defer func() {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, reg.Leave(bound), group.Close())
	}()
	var looking sync.WaitGroup
	defer looking.Wait()
	looking.Go(func() {
		for wait(ctx, 100*time.Millisecond) {
			c.look(group.View())
		}
	})
	err = p.Run(ctx, reg, func(running context.Context, s *partition.Slot) error {
		defer c.own(fmt.Sprintf("slot/%d", s.Number()), s.Token(), s.Valid)()
		<-running.Done()
		return nil
	})
	p.Close()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("Run: %w", err)
}

func (c *client) look(v membership.View) {
	var ids []string
	for _, m := range v.Members {
		if !m.Held {
			ids = append(ids, m.ID)
		}
	}
	stale := uint64(0)
	if v.Stale {
		stale = 1
	}
	c.j.write(view, strings.Join(append(ids, "."), ","), stale, 0, 0)
}
