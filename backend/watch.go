package backend

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

const (
	rewatchBase = 20 * time.Millisecond
	rewatchCap  = time.Second
)

// Watcher follows the state of some targets. It is level-triggered: it shows
// the newest state known and leaves out states in between. Its first state of
// each target comes from a read begun after Watch was called, and later states
// are never older. While a watch is down it shows the last state. Once the
// watch is up again, it shows the newest.
//
// Any number of Watchers of one target cost the store a single watch. A Watcher
// is for one goroutine at a time.
type Watcher struct {
	store *Store
	news  chan struct{} // one token: something changed since the last Next

	mu      sync.Mutex
	targets []watched // the slice is never changed, shared and shown are not guarded
	refused error     // why the store will not have a watch
	pending int       // targets that have not been read yet
}

// watched is one target of a Watcher.
type watched struct {
	shared  *sharedWatch
	shown   []Entry // as of the last Next
	entries []Entry
	read    bool      // it has been
	since   int       // the first run of the shared watch that counts
	up      bool      // its watch is, as far as this process knows
	changed time.Time // when up did
}

// Watch begins to watch targets. Close must be called in the end. It does no
// I/O itself; its errors are ErrInvalid and ErrClosed.
func (s *Store) Watch(targets ...Target) (*Watcher, error) {
	if err := driver.CheckTargets(s.fullTargets(targets)...); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &Watcher{store: s, news: make(chan struct{}, 1), targets: make([]watched, len(targets)), pending: len(targets)}
	for i, t := range targets {
		w.targets[i].changed = time.Now()
		if err := s.watches.join(w, i, t); err != nil {
			w.Close()
			return nil, err
		}
	}
	return w, nil
}

// Next waits until every target has been read at least once, and something has
// changed since Next last returned. It ends early with ctx, wrapping its cause.
// It ends with ErrClosed when the Store closes, and with ErrDenied when the
// store refuses the watch (for 10 s, if it served this Store before).
func (w *Watcher) Next(ctx context.Context) error {
	for {
		news := w.news
		if w.store.life.Err() != nil || ctx.Err() != nil {
			news = nil // the end comes before any news
		}
		select {
		case <-w.store.life.Done():
			return fmt.Errorf("watch: %w", ErrClosed)
		case <-ctx.Done():
			if w.store.life.Err() != nil {
				return fmt.Errorf("watch: %w", ErrClosed)
			}
			return fmt.Errorf("watch: %w", context.Cause(ctx))
		case <-news:
		}
		if ready, err := w.show(); err != nil {
			return fmt.Errorf("watch: %w", err)
		} else if ready {
			return nil
		}
	}
}

// show takes over the newest states for Entries, and with them whatever news
// has come since Next was woken, unless a target has not been read yet.
func (w *Watcher) show() (ready bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused != nil || w.pending > 0 {
		return false, w.refused
	}
	select {
	case <-w.news:
	default:
	}
	for i := range w.targets {
		w.targets[i].shown = w.targets[i].entries
	}
	return true, nil
}

// Entries returns the state of the i-th target that Next returned for. The
// slice is shared: it must not be changed.
func (w *Watcher) Entries(i int) []Entry { return w.targets[i].shown }

// Up reports whether the watch of every target is up, as far as this process
// knows, and since when the answer is the same. A watch is down until its first
// read, and from a failure until the next read. A silent network may keep the
// store from reporting changes; a session that is no longer trusted then shows
// it. Unlike the other methods Up may be called at any time, from any
// goroutine.
func (w *Watcher) Up() (up bool, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	up = true
	for i := range w.targets {
		t := &w.targets[i]
		switch {
		case up && !t.up: // down since the earliest that is
			up, since = false, t.changed
		case up && t.changed.After(since), !up && !t.up && t.changed.Before(since):
			since = t.changed
		}
	}
	return up, since
}

// Close ends the watcher. Next must not be called any more.
func (w *Watcher) Close() {
	for i := range w.targets {
		if shared := w.targets[i].shared; shared != nil {
			w.store.watches.leave(shared, subscriber{w, i})
		}
	}
}

// deliver takes a state of the i-th target from a run of its shared watch. If
// quiet, it is news only if it differs from the last.
func (w *Watcher) deliver(i, run int, quiet bool, entries []Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &w.targets[i]
	if run < t.since {
		return
	}
	if !t.up {
		t.up, t.changed = true, time.Now()
	}
	if quiet && t.read && slices.EqualFunc(t.entries, entries, sameState) {
		return
	}
	t.entries = entries
	if !t.read {
		t.read = true
		w.pending--
	}
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// down takes note that the watch of the i-th target has failed.
func (w *Watcher) down(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := &w.targets[i]; t.up {
		t.up, t.changed = false, time.Now()
	}
}

// refuse ends a watcher whose watch the store will not have.
func (w *Watcher) refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = err
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func sameState(a, b Entry) bool {
	return a.Key == b.Key && a.Version == b.Version && a.Modified == b.Modified && a.Lease == b.Lease
}

// watches are the shared watches of a Store.
type watches struct {
	store  *Store
	mu     sync.Mutex // orders all below and the fields of each sharedWatch
	byPath map[Target]*sharedWatch
}

// sharedWatch is one watch of the driver, in runs: each begins with a fresh
// read. A new run begins when the last one failed, and when a Watcher joins,
// so that the newcomer never sees a state from before it came; but a run that
// has not read anything yet is let finish that, or a stream of newcomers would
// starve all.
type sharedWatch struct {
	target      Target
	subscribers []subscriber
	run         int
	restart     context.CancelFunc // ends the present run, or the pause before the next
	reading     bool               // the present run has not delivered anything yet
	again       bool               // another is wanted as soon as it has
	failed      bool               // a run has failed, and none has delivered since
}

// subscriber is a Watcher that has a target, and under which index.
type subscriber struct {
	*Watcher
	i int
}

func (ws *watches) init(s *Store) {
	ws.store = s
	ws.byPath = make(map[Target]*sharedWatch)
}

func (ws *watches) join(w *Watcher, i int, target Target) error {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.store.life.Err() != nil {
		return fmt.Errorf("watch: %w", ErrClosed)
	}
	shared := ws.byPath[target]
	if shared == nil {
		shared = &sharedWatch{target: target}
		if !ws.store.background.Go(func() { ws.serve(shared) }) {
			return fmt.Errorf("watch: %w", ErrClosed)
		}
		ws.byPath[target] = shared
	}
	w.targets[i].since = shared.run + 1
	switch {
	case shared.restart == nil: // the first run is still to begin
	case shared.reading:
		shared.again = true
	default:
		shared.restart()
	}
	shared.subscribers = append(shared.subscribers, subscriber{w, i})
	w.targets[i].shared = shared
	return nil
}

func (ws *watches) leave(shared *sharedWatch, s subscriber) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if at := slices.Index(shared.subscribers, s); at >= 0 {
		shared.subscribers = slices.Delete(shared.subscribers, at, at+1)
	}
	if len(shared.subscribers) == 0 && shared.restart != nil {
		shared.restart()
	}
}

// begin starts the next run, or reports false when nobody watches any more.
func (ws *watches) begin(shared *sharedWatch) (context.Context, int, bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if shared.restart != nil {
		shared.restart()
	}
	if len(shared.subscribers) == 0 || ws.store.life.Err() != nil {
		delete(ws.byPath, shared.target)
		return nil, 0, false
	}
	ctx, cancel := context.WithCancel(ws.store.life)
	shared.run++
	shared.restart = cancel
	shared.reading, shared.again = true, false
	return ctx, shared.run, true
}

// serve runs a shared watch until nobody needs it.
func (ws *watches) serve(shared *sharedWatch) {
	full := ws.store.fullTargets([]Target{shared.target})[0]
	row := refusals{within: refusedFor}
	for failures := 0; ; {
		ctx, run, ok := ws.begin(shared)
		if !ok {
			return
		}
		began, delivered := time.Now(), false
		err := ws.store.during(func() error {
			return ws.store.driver.Watch(ctx, full, func(entries []Entry) {
				ws.store.served.Store(true)
				ws.deliver(shared, run, !delivered, ws.store.strip(entries))
				delivered = true
			})
		})
		if delivered {
			row.since = time.Time{}
		}
		if ctx.Err() != nil {
			continue // a newcomer, or nobody is left
		}
		if delivered && time.Since(began) > rewatchCap {
			failures = 0
		}
		over := row.over(ws.store.verdict(err))
		if over {
			row.since = time.Time{} // later watchers begin a row of their own
		}
		ws.failed(shared, err, over)
		ws.reportRestart(shared, failures, err)
		_ = Sleep(ctx, fullJitter(failures, rewatchBase, rewatchCap))
		failures++
	}
}

// failed takes note of the end of a run. If it ended for good, those who watch
// are told; it is begun again for those who come later.
func (ws *watches) failed(shared *sharedWatch, err error, over bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	shared.reading, shared.failed = false, true
	for _, s := range shared.subscribers {
		s.down(s.i)
		if over {
			s.refuse(err)
		}
	}
}

// deliver hands a state to those who watch. A run that began only because
// somebody joined is no news to the others, unless something has changed; one
// that began because the last failed is: the store may be another by now.
func (ws *watches) deliver(shared *sharedWatch, run int, first bool, entries []Entry) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if run != shared.run {
		return
	}
	quiet := first && !shared.failed
	shared.reading, shared.failed = false, false
	if shared.again {
		shared.restart()
	}
	for _, s := range shared.subscribers {
		s.deliver(s.i, run, quiet, entries)
	}
}

func (ws *watches) reportRestart(shared *sharedWatch, failures int, err error) {
	level := ws.store.opts.Logger.Debug
	if failures == 0 {
		level = ws.store.opts.Logger.Warn
	}
	level("watch failed, watching again", "target", shared.target.Path, "error", err)
	if f := ws.store.opts.Trace.WatchRestarted; f != nil {
		f(WatchRestarted{Target: shared.target, Err: err})
	}
}
