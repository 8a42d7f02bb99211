package counter

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/removable"
)

const (
	defaultInterval = time.Second
	defaultShards   = 8
	maxShards       = 64
	// tallyLogEvery is how often a Tally that cannot flush says so.
	tallyLogEvery = 10 * time.Second
)

// TallyOptions are the options of a Tally; nil means the defaults.
type TallyOptions struct {
	// Interval is the shortest time between two flushes of this Tally, a
	// second by default. With jitter, what is added is flushed after an
	// interval and a quarter at the latest, if the store answers.
	Interval time.Duration

	// Shards is over how many counters the Tallies of a name spread their
	// flushes, 8 by default, 64 at most. Each Tally keeps to one, chosen at
	// random. Tallies of one name may have different values; Total finds all.
	Shards int
}

// Tally counts without waiting: Add is local, and what was added goes to the
// store now and then, in one sum. Its methods may be called concurrently. It
// must be closed, before its Store is, or what was not flushed is lost.
type Tally struct {
	store    *backend.Store
	label    backend.Subject
	dir      string
	shard    *Counter
	interval time.Duration

	life context.Context // of flushes; ends when Close gives up
	end  context.CancelCauseFunc

	sum   atomic.Int64 // added and not in a flush
	_     [64]byte     // what is only read is on another cache line
	armed atomic.Bool  // a flush is due

	mu     sync.Mutex
	flush  *flush // under way
	timer  *time.Timer
	closed bool
	logged time.Time
}

// flush is a sum on its way to the store; err says what became of it.
type flush struct {
	done chan struct{}
	err  error
}

// NewTally returns a Tally. It does no I/O. Arguments that make no sense are
// backend.ErrInvalid; name may be any text of 1 to 100 bytes.
func NewTally(store *backend.Store, name string, options *TallyOptions) (*Tally, error) {
	base, err := backend.Path(backend.KindTally, name)
	if err != nil {
		return nil, fmt.Errorf("tally: %w", err)
	}
	var opts TallyOptions
	if options != nil {
		opts = *options
	}
	if opts.Interval == 0 {
		opts.Interval = defaultInterval
	}
	if opts.Shards == 0 {
		opts.Shards = defaultShards
	}
	t := &Tally{store: store, label: backend.Subject{Kind: backend.KindTally, Name: name}, dir: base + "/shards", interval: opts.Interval}
	switch {
	case opts.Interval < 0:
		return nil, fmt.Errorf("%s: %w: Options.Interval is negative", t.label, backend.ErrInvalid)
	case opts.Shards < 0 || opts.Shards > maxShards:
		return nil, fmt.Errorf("%s: %w: Options.Shards is %d, 1 to %d are allowed", t.label, backend.ErrInvalid, opts.Shards, maxShards)
	}
	t.shard, err = newCounter(store, t.label, t.dir, strconv.Itoa(rand.IntN(opts.Shards)))
	if err != nil {
		return nil, err
	}
	t.life, t.end = context.WithCancelCause(context.Background())
	return t, nil
}

// Name returns the name of the tally.
func (t *Tally) Name() string { return t.label.Name }

// Add adds delta, which may be negative. It does no I/O, and takes hardly
// longer than an atomic addition. The sum of the adds between two flushes must
// fit an int64: it wraps around as an atomic.Int64 does. Adds after Close are
// lost.
func (t *Tally) Add(delta int64) {
	t.sum.Add(delta)
	if !t.armed.Load() {
		t.arm()
	}
}

// arm has what was added flushed in due time.
func (t *Tally) arm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	// A flush that is under way looks again when it is done.
	if t.closed || t.flush != nil || t.armed.Swap(true) {
		return
	}
	t.timer = time.AfterFunc(t.interval+rand.N(t.interval/4+1), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.closed {
			t.start()
		}
	})
}

// start starts a flush unless one is under way. The mutex is held.
func (t *Tally) start() *flush {
	if t.flush != nil {
		return t.flush
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	f := &flush{done: make(chan struct{})}
	t.flush = f
	t.armed.Store(true) // it looks again when it is done
	go t.run(f)
	return f
}

// run takes what was added and adds it to the shard. That sum is frozen and
// stays with the shard's counter until it is settled, however long that takes;
// what is added meanwhile goes with the next. So a flush in doubt is never
// sent a second time, here or elsewhere.
func (t *Tally) run(f *flush) {
	sum := t.sum.Swap(0)
	if sum != 0 {
		_, f.err = t.shard.Add(t.life, sum)
	}
	t.mu.Lock()
	if f.err != nil {
		if !errors.Is(f.err, backend.ErrIndeterminate) {
			t.sum.Add(sum) // surely not applied
		}
		if time.Since(t.logged) >= tallyLogEvery {
			t.logged = time.Now()
			t.store.Logger().Warn("flush failed", "tally", t.label.Name, "sum", sum, "error", f.err)
		}
	}
	t.flush = nil
	t.armed.Store(false)
	again := t.sum.Load() != 0 && !errors.Is(f.err, backend.ErrClosed)
	t.mu.Unlock()
	if again {
		t.arm()
	}
	close(f.done)
}

// Flush sends the adds from before the call, and waits until they are counted.
// If ctx ends first the error wraps its cause, and the flush continues in the
// background.
//
// Any other error says that nothing of it was counted, and that it is kept and
// sent again: ErrOutOfRange, backend.ErrDenied, ErrFormat, ErrClosed. The
// exception is backend.ErrIndeterminate: a sum is given up that may have been
// counted. See the package's documentation.
func (t *Tally) Flush(ctx context.Context) error {
	var lost error
	for {
		t.mu.Lock()
		mine := t.flush == nil
		f := t.start()
		t.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return fmt.Errorf("%s: flush not waited for: %w", t.label, context.Cause(ctx))
		}
		switch {
		case mine:
			return errors.Join(lost, f.err)
		case errors.Is(f.err, backend.ErrIndeterminate):
			lost = f.err
		}
		// It had begun before: what was added since may not be in it.
	}
}

// Delete deletes the tally from the store, shard after shard. Processes may add
// meanwhile: what is flushed later begins at zero. A flush to which a reply was
// lost when its shard was deleted is given up, with backend.ErrIndeterminate.
//
// It waits as Counter.Delete does, has the same errors, and leaves as much behind.
func (t *Tally) Delete(ctx context.Context) error {
	read, err := t.store.Read(ctx, backend.Dir(t.dir))
	if err != nil {
		return fmt.Errorf("%s: delete: %w", t.label, err)
	}
	for _, shard := range read[0] {
		name, _, _ := strings.Cut(strings.TrimPrefix(shard.Key, t.dir+"/"), "~")
		if err := deleteDocument(ctx, t.store, t.label, removable.New(t.store, t.label.Kind, t.dir, name), nil); err != nil {
			return err
		}
	}
	return nil
}

// closeTimeout bounds the flush of a Close.
const closeTimeout = 2 * time.Second

// Close flushes and stops. It takes two seconds at most; call Flush first to
// wait for longer. The error says what is not counted then, or, with
// backend.ErrIndeterminate, may not be. Close a Tally before its Store.
func (t *Tally) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := t.Flush(ctx)
	t.mu.Lock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	f := t.flush
	t.mu.Unlock()
	t.end(backend.ErrClosed)
	if f != nil {
		<-f.done // at once, now that its context has ended
		err = errors.Join(err, f.err)
	}
	left := t.sum.Load()
	if err == nil || left == 0 && !errors.Is(err, backend.ErrIndeterminate) {
		return nil // flushed in the end
	}
	return fmt.Errorf("%s: close with %d not flushed: %w", t.label, left, err)
}
