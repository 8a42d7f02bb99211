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
	give    context.CancelFunc // ends the query under way

	kicks chan struct{} // holds one when there are other guests
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
	b.kicks = make(chan struct{}, 1)
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
	if !b.d.running.Go(func() { b.run(b.d.life) }) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.running = false
		delete(b.guests, g)
		return driver.ErrClosed
	}
	return nil
}

func (b *bell) leave(g *guest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.guests, g)
}

// kick makes the bell look at its guests.
func (b *bell) kick() {
	select {
	case b.kicks <- struct{}{}:
	default:
	}
}

// yield makes the bell give up its connection, and ask again.
func (b *bell) yield() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.give != nil {
		b.give()
	}
}

// present returns the guests and their common directory.
func (b *bell) present() (guests []*guest, prefix string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	targets := make([]driver.Target, 0, len(b.guests))
	for g := range b.guests {
		guests = append(guests, g)
		targets = append(targets, g.target)
	}
	return guests, common(targets)
}

// stops reports whether the bell stops, since there are no guests.
func (b *bell) stops() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = len(b.guests) > 0
	return !b.running
}

// run rings until nobody listens. A failure ends the watches of all guests;
// the Store begins them again.
func (b *bell) run(ctx context.Context) {
	var index uint64
	var at string
	for {
		if b.stops() {
			return
		}
		guests, prefix := b.present()
		if len(guests) == 0 {
			continue
		}
		all := false
		if prefix != at || index == 0 {
			at, all = prefix, true
			var err error
			index, err = look(ctx, func(ctx context.Context) (uint64, error) { return b.ask(ctx, prefix, 0) })
			if err != nil {
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
		case errors.Is(err, errElsewhere), errors.Is(err, errYielded):
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
			b.stale()
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

var (
	errElsewhere = errors.New("there are guests elsewhere")
	errYielded   = errors.New("gave its connection to a call")
)

// stale marks guests as to be read again.
func (b *bell) stale() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for g := range b.guests {
		g.served = false
	}
}

// reset notices, by a read, whether the store went back in time.
func (b *bell) reset(ctx context.Context, guests []*guest) error {
	if err := pause(ctx); err != nil {
		return err
	}
	m := b.d.indexes.mark()
	index, err := look(ctx, func(ctx context.Context) (uint64, error) { return b.d.tableIndex(ctx, guests[0].target.Path) })
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

// await waits for the bell to ring. It serves those who come meanwhile: what
// changes after that rings too. The query goes on even if nobody listens any
// more, since a server keeps one that was abandoned as long as another: it is
// given up only for guests who are not below prefix.
func (b *bell) await(ctx context.Context, prefix string, after uint64) (uint64, error) {
	query, cancel := context.WithCancelCause(ctx)
	b.mu.Lock()
	b.give = func() { cancel(errYielded) }
	b.mu.Unlock()
	stop := context.AfterFunc(b.d.health.recovery(), func() { cancel(errRecovered) })
	var index uint64
	var err error
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		index, err = b.ask(query, prefix, after)
	}()
	defer func() {
		stop()
		cancel(nil)
		<-answered
		b.mu.Lock()
		b.give = nil
		b.mu.Unlock()
	}()
	for {
		select {
		case <-answered:
			switch cause := context.Cause(query); {
			case errors.Is(cause, errYielded):
				return 0, errYielded
			case errors.Is(cause, errRecovered):
				return 0, nil
			}
			return index, err
		case <-b.kicks:
			guests, shared := b.present()
			if len(guests) > 0 && !strings.HasPrefix(shared, prefix) {
				return 0, errElsewhere
			}
			if err := b.serve(ctx, guests, false); err != nil {
				return 0, err
			}
		}
	}
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
	states, err := look(ctx, func(ctx context.Context) ([][]driver.Entry, error) { return b.d.readTogether(ctx, targets) })
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
	states, err := look(ctx, func(ctx context.Context) ([]state, error) { return b.d.read(ctx, []driver.Target{g.target}) })
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
