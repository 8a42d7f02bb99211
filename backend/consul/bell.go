package consul

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// ringing is the least time between two re-reads of what the bell serves.
const ringing = 20 * time.Millisecond

// bell serves the watches beyond the bound with one blocking query. It asks
// for the names one level below the directory that all of them have in common;
// Consul answers it on any change at any depth in there, a change of a value
// included, but does not say which. So each answer costs a re-read of them
// all, together. All reads are the bell's own, one after the other: so states
// reach a watch in their order.
type bell struct {
	d *Driver

	mu      sync.Mutex
	running bool
	guests  map[*guest]struct{}
	// kicked ends the query under way: there are new guests.
	kicked context.CancelFunc
	again  bool // kicked while no query was under way
}

// guest is a watch that the bell serves.
type guest struct {
	target driver.Target

	mu    sync.Mutex
	state []driver.Entry
	err   error
	news  chan struct{} // holds one when state or err is new

	served bool // the bell's own: it was read once
}

func (b *bell) init(d *Driver) {
	b.d = d
	b.guests = make(map[*guest]struct{})
}

// follow watches target until ctx ends or the bell fails.
func (b *bell) follow(ctx context.Context, target driver.Target, deliver func([]driver.Entry)) error {
	g := &guest{target: target, news: make(chan struct{}, 1)}
	if err := b.enter(g); err != nil {
		return err
	}
	defer b.leave(g)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-g.news:
			g.mu.Lock()
			state, err := g.state, g.err
			g.mu.Unlock()
			if err != nil {
				return err
			}
			deliver(state)
		}
	}
}

// enter makes g a guest and sees to it that the bell runs.
func (b *bell) enter(g *guest) error {
	b.mu.Lock()
	b.guests[g] = struct{}{}
	start := !b.running
	b.running = true
	b.mu.Unlock()
	if !start {
		b.kick()
		return nil
	}
	ctx, end, err := b.d.begin(context.Background())
	if err != nil {
		b.mu.Lock()
		b.running = false
		delete(b.guests, g)
		b.mu.Unlock()
		return err
	}
	go func() {
		defer end()
		b.run(ctx)
	}()
	return nil
}

func (b *bell) leave(g *guest) {
	b.mu.Lock()
	delete(b.guests, g)
	last := len(b.guests) == 0
	b.mu.Unlock()
	if last {
		b.kick()
	}
}

// kick makes the bell look at its guests.
func (b *bell) kick() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.again = true
	if b.kicked != nil {
		b.kicked()
	}
}

// present returns the guests and their common directory; when there are none
// the bell has stopped.
func (b *bell) present() (guests []*guest, prefix string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.again = false
	targets := make([]driver.Target, 0, len(b.guests))
	for g := range b.guests {
		guests = append(guests, g)
		targets = append(targets, g.target)
	}
	b.running = len(guests) > 0
	return guests, common(targets)
}

// run rings until nobody listens. A failure ends the watches of all guests;
// the Store begins them again.
func (b *bell) run(ctx context.Context) {
	var index uint64
	var at string
	for {
		guests, prefix := b.present()
		if len(guests) == 0 {
			return
		}
		all := false
		if prefix != at || index == 0 {
			at, all = prefix, true
			var err error
			if index, err = b.ask(ctx, prefix, 0); err != nil {
				b.fail(err)
				index = 0
				continue
			}
			// Those that came meanwhile are served with the next look.
		}
		started := time.Now()
		if err := b.serve(ctx, guests, all); err != nil {
			b.fail(err)
			index = 0
			continue
		}
		rung, err := b.await(ctx, prefix, index)
		switch {
		case errors.Is(err, errKicked):
			continue
		case err != nil:
			b.fail(err)
			index = 0
			continue
		case rung <= index:
			// As in Driver.follow: nothing new, or less. The store may have
			// been replaced.
			index = 0
			if err := b.reset(ctx, guests); err != nil {
				b.fail(err)
			}
		default:
			index = rung
			b.stale(guests)
		}
		if wait := ringing - time.Since(started); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
		}
	}
}

var errKicked = errors.New("kicked")

// stale marks guests as to be read again.
func (b *bell) stale(guests []*guest) {
	for _, g := range guests {
		g.served = false
	}
}

// reset notices, by a read, whether the store went back in time.
func (b *bell) reset(ctx context.Context, guests []*guest) error {
	if err := pause(ctx); err != nil {
		return err
	}
	m := b.d.indexes.mark()
	index, err := b.d.tableIndex(ctx, guests[0].target.Path)
	if err != nil {
		return err
	}
	b.d.indexes.table(m, index)
	return nil
}

// ask asks for the names below prefix, waiting if after is not zero, and
// returns the index.
func (b *bell) ask(ctx context.Context, prefix string, after uint64) (index uint64, _ error) {
	ask := func(ctx context.Context) error {
		options := consistent(ctx)
		if after > 0 {
			options.WaitIndex, options.WaitTime = after, b.d.opts.Wait
		}
		_, meta, err := b.d.client.KV().Keys(prefix, "/", options)
		if err != nil {
			return err
		}
		index = max(meta.LastIndex, 1)
		return nil
	}
	var err error
	if after == 0 {
		_, err = b.d.short(ctx, ask)
	} else {
		err = b.d.patiently(ctx, ask)
	}
	if err != nil {
		return 0, classify(err, false, false)
	}
	return index, nil
}

// await waits for the bell to ring.
func (b *bell) await(ctx context.Context, prefix string, after uint64) (uint64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b.mu.Lock()
	if b.again {
		b.mu.Unlock()
		return 0, errKicked
	}
	b.kicked = func() { cancel(errKicked) }
	b.mu.Unlock()
	stop := context.AfterFunc(b.d.health.recovery(), func() { cancel(errRecovered) })
	defer stop()
	index, err := b.ask(ctx, prefix, after)
	b.mu.Lock()
	b.kicked = nil
	b.mu.Unlock()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errKicked):
		return 0, errKicked
	case errors.Is(cause, errRecovered):
		return 0, nil
	}
	return index, err
}

// serve reads for the guests that were not served yet, or for all.
func (b *bell) serve(ctx context.Context, guests []*guest, all bool) error {
	var due []*guest
	var targets []driver.Target
	for _, g := range guests {
		if g.served && !all {
			continue
		}
		if g.state == nil {
			// The first time with the read that minds permissions.
			if err := b.serveAlone(ctx, g); err != nil {
				g.tell(nil, err)
			}
			continue
		}
		due = append(due, g)
		targets = append(targets, g.target)
	}
	states, err := b.d.readTogether(ctx, targets)
	if err != nil {
		return err
	}
	for i, g := range due {
		if len(states[i]) < len(g.state) {
			// Something is gone, or may no longer be read.
			if err := b.serveAlone(ctx, g); err != nil {
				g.tell(nil, err)
			}
			continue
		}
		g.served = true
		g.tell(states[i], nil)
	}
	return nil
}

func (b *bell) serveAlone(ctx context.Context, g *guest) error {
	states, err := b.d.read(ctx, []driver.Target{g.target})
	if err != nil {
		return err
	}
	g.served = true
	g.tell(states[0].entries, nil)
	return nil
}

// fail ends the watches of all guests.
func (b *bell) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for g := range b.guests {
		delete(b.guests, g)
		g.tell(nil, err)
	}
}

// tell hands a guest its state, or the reason why there will be no more.
func (g *guest) tell(state []driver.Entry, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return
	}
	g.state, g.err = state, err
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// common returns the deepest directory that holds all targets, with a slash at
// its end; "" if there is none.
func common(targets []driver.Target) string {
	var shared []string
	for i, t := range targets {
		parts := strings.Split(t.Path, "/")
		if !t.Dir {
			parts = parts[:len(parts)-1]
		}
		if i == 0 {
			shared = parts
			continue
		}
		n := 0
		for n < len(shared) && n < len(parts) && shared[n] == parts[n] {
			n++
		}
		shared = shared[:n]
	}
	if len(shared) == 0 {
		return ""
	}
	return strings.Join(shared, "/") + "/"
}
