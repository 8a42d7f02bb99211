package debug

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
)

// atOnce is how many reads are under way at a time.
const atOnce = 8

// report returns what was last read, and reads again if that is not fresh;
// those who ask meanwhile wait for the same. It returns what there is when ctx
// ends, nil if that is nothing.
func (h *handler) report(ctx context.Context) *report {
	for {
		h.mu.Lock()
		last, busy := h.last, h.busy
		switch {
		case last != nil && time.Since(last.At) < fresh:
			h.mu.Unlock()
			return last
		case busy == nil:
			h.busy = make(chan struct{})
			h.mu.Unlock()
			return h.round(last)
		}
		h.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return last
		}
	}
}

// round makes one round of reads, for all viewers: one that goes away does not
// end it.
func (h *handler) round(last *report) (r *report) {
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if r != nil {
			h.last = r
		}
		close(h.busy)
		h.busy = nil
	}()
	return h.collect(last)
}

func (h *handler) collect(last *report) *report {
	ctx, cancel := context.WithTimeout(context.Background(), h.opts.Timeout)
	defer cancel()
	if last == nil {
		last = new(report)
	}
	r := &report{Process: clean(h.opts.Process), Namespace: clean(h.store.Namespace())}
	var reads []func()
	r.Elections = make([]part[electionPart], len(h.opts.Elections))
	for i, e := range h.opts.Elections {
		reads = append(reads, func() {
			status, err := e.Status(ctx)
			r.Elections[i] = next(last.Elections, i, e.Name(), electionOf(status), err)
		})
	}
	r.Partitions = make([]part[partitionPart], len(h.opts.Partitions))
	for i, p := range h.opts.Partitions {
		reads = append(reads, func() {
			status, err := p.Status(ctx)
			r.Partitions[i] = next(last.Partitions, i, p.Name(), partitionOf(status), err)
		})
	}
	r.Counters = make([]part[numberPart], len(h.opts.Counters))
	for i, c := range h.opts.Counters {
		reads = append(reads, func() {
			value, err := c.Value(ctx)
			r.Counters[i] = next(last.Counters, i, c.Name(), numberPart{value}, err)
		})
	}
	r.Tallies = make([]part[numberPart], len(h.opts.Tallies))
	for i, t := range h.opts.Tallies {
		reads = append(reads, func() {
			value, err := t.Estimate(ctx)
			r.Tallies[i] = next(last.Tallies, i, t.Name(), numberPart{value}, err)
		})
	}
	all(reads)
	for _, g := range h.opts.Groups {
		r.Groups = append(r.Groups, next(nil, 0, g.Name(), groupOf(g.View()), nil))
	}
	r.At = time.Now()
	return r
}

// all calls what it is given, several at a time, and waits for all.
func all(calls []func()) {
	var running sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for _, call := range calls {
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			call()
		})
	}
	running.Wait()
}

// next is what is shown of the thing at index i: what was read, or with the
// error what was shown of it before.
func next[T any](before []part[T], i int, name string, data T, err error) part[T] {
	p := part[T]{Name: clean(name)}
	if err == nil {
		p.AsOf, p.Data = time.Now(), &data
		return p
	}
	p.Error = clean(err.Error())
	if i < len(before) {
		p.AsOf, p.Data = before[i].AsOf, before[i].Data
	}
	return p
}

func electionOf(s election.Status) electionPart {
	e := electionPart{
		Led: !s.Leader.IsZero(), Leader: clean(s.Leader.ID), Term: s.Term, Holder: clean(s.Holder), Clean: s.Clean,
		More: max(len(s.Queue)-maxQueue, 0),
	}
	e.Meta, _ = pairs(s.Leader.Meta)
	for _, c := range s.Queue[:len(s.Queue)-e.More] {
		e.Queue = append(e.Queue, candidate{ID: clean(c.ID), Nonce: clean(c.Nonce)})
	}
	return e
}

func groupOf(v membership.View) groupPart {
	g := groupPart{
		Synced: v.Synced, Stale: v.Stale, Age: v.Age.Milliseconds(), Count: len(v.Members), Held: v.Held(),
		More: max(len(v.Members)-maxMembers, 0),
	}
	for _, m := range v.Members[:len(v.Members)-g.More] {
		shown := member{
			ID: clean(m.ID), Addr: clean(m.Addr), Incarnation: clean(m.Incarnation), TTL: m.TTL.Milliseconds(), Held: m.Held,
		}
		shown.Meta, shown.MoreMeta = pairs(m.Meta)
		g.Members = append(g.Members, shown)
	}
	return g
}

// pairs returns metadata by key, and how many there are besides.
func pairs(meta map[string]string) (shown []pair, more int) {
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		if len(shown) == maxMeta {
			return shown, len(meta) - maxMeta
		}
		shown = append(shown, pair{Key: clean(key), Value: clean(meta[key])})
	}
	return shown, 0
}
