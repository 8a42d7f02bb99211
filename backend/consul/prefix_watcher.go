package consul

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// minInterval is the shortest time between two reads for all subscribers.
const minInterval = 20 * time.Millisecond

// prefixWatcher serves the watches beyond the bound with one blocking query. It asks
// for the names one level below the directory that all of them have in common;
// Consul answers it on any change at any depth in there, a change of a value
// included, but does not say which. So each answer costs a re-read of them
// all, together. It makes all reads itself, one after the other: so states
// reach a watch in their order.
type prefixWatcher struct {
	d *Driver

	mu          sync.Mutex
	running     bool
	subscribers map[*subscriber]struct{}
	give        context.CancelFunc // ends the query under way

	wakes chan struct{} // holds one when there are other subscribers
}

// subscriber is a watch that the prefix watcher serves.
type subscriber struct {
	target driver.Target

	mu    sync.Mutex
	state []driver.Entry
	err   error
	news  chan struct{} // holds one when state or err is new

	served bool // run's own: it was read since the last change
}

func (w *prefixWatcher) init(d *Driver) {
	w.d = d
	w.subscribers = make(map[*subscriber]struct{})
	w.wakes = make(chan struct{}, 1)
}

// follow watches target until ctx ends or the prefix watcher fails.
func (w *prefixWatcher) follow(ctx context.Context, target driver.Target, deliver func([]driver.Entry)) error {
	s := &subscriber{target: target, news: make(chan struct{}, 1)}
	if err := w.enter(s); err != nil {
		return err
	}
	defer w.leave(s)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.news:
			s.mu.Lock()
			state, err := s.state, s.err
			s.mu.Unlock()
			if err != nil {
				return err
			}
			deliver(state)
		}
	}
}

// enter adds a subscriber and starts the prefix watcher if it does not run.
func (w *prefixWatcher) enter(s *subscriber) error {
	w.mu.Lock()
	w.subscribers[s] = struct{}{}
	start := !w.running
	w.running = true
	w.mu.Unlock()
	if !start {
		w.wake()
		return nil
	}
	if !w.d.running.Go(func() { w.run(w.d.life) }) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running = false
		delete(w.subscribers, s)
		return driver.ErrClosed
	}
	return nil
}

func (w *prefixWatcher) leave(s *subscriber) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.subscribers, s)
}

// wake makes the prefix watcher look at its subscribers.
func (w *prefixWatcher) wake() {
	select {
	case w.wakes <- struct{}{}:
	default:
	}
}

// yield makes the prefix watcher give up its connection and ask again.
func (w *prefixWatcher) yield() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.give != nil {
		w.give()
	}
}

// present returns the subscribers and their common directory.
func (w *prefixWatcher) present() (subscribers []*subscriber, prefix string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	targets := make([]driver.Target, 0, len(w.subscribers))
	for s := range w.subscribers {
		subscribers = append(subscribers, s)
		targets = append(targets, s.target)
	}
	return subscribers, common(targets)
}

// stops reports whether the prefix watcher stops, since it has no subscribers.
func (w *prefixWatcher) stops() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = len(w.subscribers) > 0
	return !w.running
}

// run serves until there are no subscribers. A failure ends the watches of all
// of them; the Store begins them again.
func (w *prefixWatcher) run(ctx context.Context) {
	var index uint64
	var at string
	for {
		if w.stops() {
			return
		}
		subscribers, prefix := w.present()
		if len(subscribers) == 0 {
			continue
		}
		all := false
		if prefix != at || index == 0 {
			at, all = prefix, true
			var err error
			index, err = look(ctx, func(ctx context.Context) (uint64, error) { return w.ask(ctx, prefix, 0) })
			if err != nil {
				w.fail(err)
				index = 0
				continue
			}
			// Those that came meanwhile are served with the next look.
		}
		started := time.Now()
		if err := w.serve(ctx, subscribers, all); err != nil {
			w.fail(err)
			index = 0
			continue
		}
		next, err := w.await(ctx, prefix, index)
		switch {
		case errors.Is(err, errElsewhere), errors.Is(err, errYielded):
			continue
		case err != nil:
			w.fail(err)
			index = 0
			continue
		case next <= index:
			// As in Driver.follow: nothing new, or less. The store may have
			// been replaced.
			index = 0
			if err := w.reset(ctx, subscribers); err != nil {
				w.fail(err)
			}
		default:
			index = next
			w.stale()
		}
		_ = driver.Sleep(ctx, minInterval-time.Since(started))
	}
}

var (
	errElsewhere = errors.New("there are subscribers elsewhere")
	errYielded   = errors.New("gave its connection to a call")
)

// stale marks subscribers as to be read again.
func (w *prefixWatcher) stale() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.subscribers {
		s.served = false
	}
}

// reset notices, by a read, whether the store went back in time.
func (w *prefixWatcher) reset(ctx context.Context, subscribers []*subscriber) error {
	if err := pause(ctx); err != nil {
		return err
	}
	m := w.d.indexes.mark()
	index, err := look(ctx, func(ctx context.Context) (uint64, error) { return w.d.tableIndex(ctx, subscribers[0].target.Path) })
	if err != nil {
		return err
	}
	w.d.indexes.table(m, index)
	return nil
}

// ask asks for the names below prefix, waiting if after is not zero, and
// returns the index.
func (w *prefixWatcher) ask(ctx context.Context, prefix string, after uint64) (index uint64, _ error) {
	ask := func(ctx context.Context) error {
		options := consistent(ctx)
		if after > 0 {
			options.WaitIndex, options.WaitTime = after, w.d.opts.Wait
		}
		_, meta, err := w.d.client.KV().Keys(prefix, "/", options)
		if err != nil {
			return err
		}
		index = max(meta.LastIndex, 1)
		return nil
	}
	var err error
	if after == 0 {
		_, err = w.d.short(ctx, ask)
	} else {
		err = w.d.patiently(ctx, ask)
	}
	if err != nil {
		return 0, classify(err, false, false)
	}
	return index, nil
}

// await waits until the query is answered. It serves the subscribers that come
// meanwhile: a change after that answers the query, too. The query goes on even
// if there are no subscribers any more, since a server keeps one that was abandoned as long as another: it is
// given up only for subscribers who are not below prefix.
func (w *prefixWatcher) await(ctx context.Context, prefix string, after uint64) (uint64, error) {
	query, cancel := context.WithCancelCause(ctx)
	w.mu.Lock()
	w.give = func() { cancel(errYielded) }
	w.mu.Unlock()
	stop := context.AfterFunc(w.d.health.recovery(), func() { cancel(errRecovered) })
	var index uint64
	var err error
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		index, err = w.ask(query, prefix, after)
	}()
	defer func() {
		stop()
		cancel(nil)
		<-answered
		w.mu.Lock()
		w.give = nil
		w.mu.Unlock()
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
		case <-w.wakes:
			subscribers, shared := w.present()
			if len(subscribers) > 0 && !strings.HasPrefix(shared, prefix) {
				return 0, errElsewhere
			}
			if err := w.serve(ctx, subscribers, false); err != nil {
				return 0, err
			}
		}
	}
}

// serve reads for the subscribers that were not served yet, or for all.
func (w *prefixWatcher) serve(ctx context.Context, subscribers []*subscriber, all bool) error {
	var due []*subscriber
	var targets []driver.Target
	for _, s := range subscribers {
		if s.served && !all {
			continue
		}
		if s.state == nil {
			// The first time with the read that minds permissions.
			if err := w.serveAlone(ctx, s); err != nil {
				s.tell(nil, err)
			}
			continue
		}
		due = append(due, s)
		targets = append(targets, s.target)
	}
	states, err := look(ctx, func(ctx context.Context) ([][]driver.Entry, error) { return w.d.readTogether(ctx, targets) })
	if err != nil {
		return err
	}
	for i, s := range due {
		if len(states[i]) < len(s.state) {
			// Something is gone, or may no longer be read.
			if err := w.serveAlone(ctx, s); err != nil {
				s.tell(nil, err)
			}
			continue
		}
		s.served = true
		s.tell(states[i], nil)
	}
	return nil
}

func (w *prefixWatcher) serveAlone(ctx context.Context, s *subscriber) error {
	states, err := look(ctx, func(ctx context.Context) ([]state, error) { return w.d.read(ctx, []driver.Target{s.target}) })
	if err != nil {
		return err
	}
	s.served = true
	s.tell(states[0].entries, nil)
	return nil
}

// fail ends the watches of all subscribers.
func (w *prefixWatcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.subscribers {
		delete(w.subscribers, s)
		s.tell(nil, err)
	}
}

// tell hands a subscriber its state, or the reason why there will be no more.
func (s *subscriber) tell(state []driver.Entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.state, s.err = state, err
	select {
	case s.news <- struct{}{}:
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
