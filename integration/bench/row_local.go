package bench

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// local measures what needs no store, or one that answers at once: what is left
// is our own work.
func local(ctx context.Context, l *lab) (lines []line, err error) {
	store, err := memory.New(nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	h, err := newHot(ctx, store)
	if err != nil {
		return nil, err
	}
	defer h.end()
	var bare atomic.Int64
	add := func() error { bare.Add(1); return nil }
	for _, each := range []struct {
		what  string
		do    func() error
		least float64
	}{
		{"Sequence.Next, 64 goroutines: calls (stock: atomic.Add)", h.next, 0.1},
		{"Tally.Add, 64 goroutines: calls (stock: atomic.Add)", h.tallyAdd, 0.25},
	} {
		at := line{what: each.what, unit: perSecond, goals: []goal{{of: toPeer, limit: each.least, least: true}}}
		for range l.scale.loads {
			for side, do := range []func() error{each.do, add} {
				n, err := l.perSecond([]func() error{thousand(do)}, 64)
				if err != nil {
					return lines, err
				}
				into := []*[]float64{&at.ours, &at.peer}[side]
				*into = append(*into, 1000*n)
			}
		}
		lines = append(lines, at)
	}
	for _, each := range []struct {
		what string
		do   func() error
		most float64
	}{
		{"Counter.Add: allocations, the store's included", h.add, 0},
		{"Sequence.Next: allocations", h.next, 1},
		{"Tally.Add: allocations", h.tallyAdd, 1},
		{"Partition.Owner: allocations", h.owner, 1},
		{"Group.View: allocations", h.view, 1},
		{"Leadership.Valid: allocations", h.valid, 1},
	} {
		n, err := allocations(each.do)
		if err != nil {
			return lines, err
		}
		at := lineOf(each.what, plain, n)
		if each.most > 0 { // an Add is a commit, which allocates
			at.goals = []goal{{of: ours, limit: each.most}}
		}
		lines = append(lines, at)
	}
	return lines, nil
}

// allocations is how many a call makes, a fraction where not all make as many.
func allocations(do func() error) (float64, error) {
	const calls = 1000
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if err := do(); err != nil { // makes what is made once
		return 0, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		if err := do(); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / calls, nil
}

// hot is one of each, for the calls that are made all the time.
type hot struct {
	ctx   context.Context
	end   func()
	count *counter.Counter
	seq   *counter.Sequence
	tally *counter.Tally
	group *membership.Group
	part  *partition.Partition
	lead  *election.Leadership
}

func newHot(ctx context.Context, store *backend.Store) (h *hot, err error) {
	h = &hot{ctx: ctx}
	if h.count, err = counter.New(store, "c", nil); err != nil {
		return nil, err
	}
	if h.seq, err = counter.NewSequence(store, "s", nil); err != nil {
		return nil, err
	}
	if h.tally, err = counter.NewTally(store, "t", nil); err != nil {
		return nil, err
	}
	e, err := election.New(store, "e", nil)
	if err != nil {
		return nil, err
	}
	if h.lead, err = e.Campaign(ctx); err != nil {
		return nil, err
	}
	if h.group, err = membership.New(store, "g", nil); err != nil {
		return nil, err
	}
	reg, err := h.group.Join(ctx, membership.Member{ID: "m"})
	if err != nil {
		return nil, err
	}
	if h.part, err = partition.New(h.group, "p", nil); err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.part.Run(running, reg, func(ctx context.Context, _ *partition.Slot) error {
			<-ctx.Done()
			return nil
		})
	}()
	h.end = func() {
		cancel()
		<-ended
		_ = h.part.Close()
		_ = h.seq.Close()
		_ = h.tally.Close()
		_ = h.lead.Resign(ctx)
	}
	for deadline := time.Now().Add(10 * time.Second); h.owner() != nil; {
		if err := pause(ctx, 10*time.Millisecond); err != nil || time.Now().After(deadline) {
			h.end()
			return nil, errors.Join(errNoOwner, err)
		}
	}
	return h, nil
}

var errNoOwner = errors.New("nobody owns the slot")

func (h *hot) add() error {
	_, err := h.count.Add(h.ctx, 1)
	return err
}

func (h *hot) next() error {
	_, err := h.seq.Next(h.ctx)
	return err
}

func (h *hot) tallyAdd() error {
	h.tally.Add(1)
	return nil
}

func (h *hot) owner() error {
	if _, owned := h.part.Owner("a key"); !owned {
		return errNoOwner
	}
	return nil
}

func (h *hot) view() error {
	if v := h.group.View(); !v.Synced {
		return errors.New("the view is not synced")
	}
	return nil
}

func (h *hot) valid() error {
	if !h.lead.Valid() {
		return errors.New("the leadership is not valid")
	}
	return nil
}

func thousand(do func() error) func() error {
	return func() error {
		for range 1000 {
			if err := do(); err != nil {
				return err
			}
		}
		return nil
	}
}
