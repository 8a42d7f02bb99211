package counter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/removable"
)

// A Sequence reserves between firstBlock and SequenceOptions.MaxBlock numbers at
// a time.
const (
	firstBlock      = 16
	defaultMaxBlock = 1 << 16
	// A block is to last about blockLasts. If it is used up sooner, the next
	// one has twice the size. If it lasts ten times as long, the next one has
	// half the size.
	blockLasts = time.Second
)

// SequenceOptions are the options of a Sequence; nil means the defaults.
type SequenceOptions struct {
	// MaxBlock bounds how many numbers are reserved at a time, 65,536 by
	// default. Blocks begin small and grow with use up to it. A process that
	// ends leaves what it had reserved unused, at most two blocks.
	MaxBlock uint64

	// MinNumber makes numbers start above it. Set it after the store was
	// restored from a backup, or lost, to the highest number ever issued. Set
	// it in every process before any process calls Next.
	MinNumber uint64
}

// Sequence hands out numbers that no other process gets. Its methods may be
// called concurrently. It should be closed.
type Sequence struct {
	store *backend.Store
	label backend.Subject
	place *removable.Document
	max   uint64

	current atomic.Pointer[block]

	life context.Context // ends with Close
	end  context.CancelCauseFunc

	mu        sync.Mutex
	following *block       // reserved, and not begun
	reserving *reservation // under way
	size      uint64       // of the next block
	began     time.Time    // when the current block was begun
	seen      uint64       // the highest number ever known to be reserved
	running   sync.WaitGroup
}

// block is a range of reserved numbers: those above start, size of them.
type block struct {
	used        atomic.Uint64 // how many are handed out, or were asked for
	start, size uint64
}

// reservation is a block on its way; err is for those who wait for it.
type reservation struct {
	done chan struct{}
	err  error
}

// NewSequence returns a Sequence. It does no I/O. Arguments that make no sense
// are backend.ErrInvalid; name may be any text of 1 to 100 bytes.
func NewSequence(store *backend.Store, name string, options *SequenceOptions) (*Sequence, error) {
	dir, err := backend.Path(backend.KindSequence, name)
	if err != nil {
		return nil, fmt.Errorf("sequence: %w", err)
	}
	s := &Sequence{store: store, label: backend.Subject{Kind: backend.KindSequence, Name: name}, max: defaultMaxBlock}
	s.place = removable.New(store, backend.KindSequence, dir, "value")
	if store == nil {
		return nil, fmt.Errorf("%s: %w: the store is nil", s.label, backend.ErrInvalid)
	}
	if options != nil && options.MaxBlock > 0 {
		s.max = options.MaxBlock
	}
	if options != nil {
		s.seen = options.MinNumber
	}
	if s.max > math.MaxInt64 {
		return nil, fmt.Errorf("%s: %w: Options.MaxBlock is %d, at most %d is allowed", s.label, backend.ErrInvalid, s.max, uint64(math.MaxInt64))
	}
	s.size = min(firstBlock, s.max)
	s.current.Store(&block{}) // used up
	s.life, s.end = context.WithCancelCause(context.Background())
	return s, nil
}

// Next returns a number that no other call gets, in this process or another.
// Within a process numbers grow: a call that begins after another has returned
// gets a higher one. Across processes they are not in order, and there are
// gaps. The first number is 1, or the one after SequenceOptions.MinNumber, or
// after all numbers of the sequences of the namespace that were deleted.
//
// Numbers are reserved in blocks, ahead and in the background, so that most
// calls take no longer than an atomic addition, and do not look at ctx. Where
// none is left, a call waits as long as it takes, through outages of the
// store, until ctx ends; no number is lost by that.
//
// Errors: ErrOutOfRange when all numbers are used up; backend.ErrDenied,
// ErrFormat, ErrClosed.
func (s *Sequence) Next(ctx context.Context) (uint64, error) {
	for {
		b := s.current.Load()
		if n := b.used.Add(1); n <= b.size {
			if n == (b.size+1)/2 {
				s.ahead()
			}
			return b.start + n, nil
		}
		if err := s.advance(ctx, b); err != nil {
			return 0, fmt.Errorf("%s: %w", s.label, err)
		}
	}
}

// Delete deletes the sequence from the store. Numbers do not come again: those
// that processes have reserved stay theirs, and a sequence of any name in the
// namespace that begins later starts above all of them. Processes may draw numbers
// meanwhile; the next reservation makes the sequence anew.
//
// It waits as Counter.Delete does, has the same errors, and leaves as much behind.
func (s *Sequence) Delete(ctx context.Context) error {
	return deleteDocument(ctx, s.store, s.label, s.place, func(e backend.Entry) (uint64, error) {
		var doc sequenceDocument
		err := decode(e, &doc)
		return doc.Reserved, err
	})
}

// Close stops reserving. Numbers that were reserved and not handed out are
// never used. Calls of Next under way and later ones end with
// backend.ErrClosed. Its error is nil.
func (s *Sequence) Close() error {
	s.end(backend.ErrClosed)
	s.mu.Lock()
	s.following = nil
	s.current.Store(&block{})
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// ahead has the next block reserved, unless it is already.
func (s *Sequence) ahead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.following == nil && s.life.Err() == nil {
		s.reserve()
	}
}

// advance goes on from a block that is used up to the next.
func (s *Sequence) advance(ctx context.Context, used *block) error {
	s.mu.Lock()
	switch {
	case s.life.Err() != nil:
		s.mu.Unlock()
		return context.Cause(s.life)
	case s.current.Load() != used:
		s.mu.Unlock()
		return nil // another call was faster
	case s.following != nil:
		s.begin()
		s.mu.Unlock()
		return nil
	}
	r := s.reserve()
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin begins the following block, and fits the size of the next one to how
// long the last one lasted.
func (s *Sequence) begin() {
	now := time.Now()
	if !s.began.IsZero() {
		switch lasted := now.Sub(s.began); {
		case lasted < blockLasts:
			s.size = min(s.size*2, s.max)
		case lasted > 10*blockLasts:
			s.size = max(s.size/2, min(firstBlock, s.max))
		}
	}
	s.began = now
	s.current.Store(s.following)
	s.following = nil
}

// reserve starts to reserve a block, unless that is under way.
func (s *Sequence) reserve() *reservation {
	if s.reserving != nil {
		return s.reserving
	}
	r := &reservation{done: make(chan struct{})}
	s.reserving = r
	size := s.size
	s.running.Go(func() {
		var end uint64
		var used error // all numbers are used up: no trying again
		err := s.store.Retry(s.life, s.label, "reserve", func(ctx context.Context) (err error) {
			if end, err = s.take(ctx, size); errors.Is(err, ErrOutOfRange) {
				used, err = err, nil
			}
			return err
		})
		if used != nil {
			err = used
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reserving, r.err = nil, err
		if err == nil && s.life.Err() == nil {
			s.following = &block{start: end - size, size: size}
		}
		close(r.done)
	})
	return r
}

// take reserves size numbers, and returns the highest. A reservation of unknown
// outcome is not used, whatever became of it: the error is
// backend.ErrIndeterminate, and the next attempt takes others.
func (s *Sequence) take(ctx context.Context, size uint64) (uint64, error) {
	look, err := s.place.Look(ctx)
	if err != nil {
		return 0, err
	}
	for {
		var doc sequenceDocument
		if look.Found {
			if err := decode(look.Entry, &doc); err != nil {
				return 0, err
			}
		}
		// After a restore the store may know less than this process does. A sequence
		// that begins starts above every one that was deleted.
		highest := s.remember(max(doc.Reserved, look.Floor.Highest))
		if highest > math.MaxUint64-size {
			return 0, fmt.Errorf("%w: the numbers are used up", ErrOutOfRange)
		}
		doc.Reserved = highest + size
		result, err := s.store.Commit(ctx, look.Write(encode(doc), look.Entry.Version))
		switch {
		case err != nil:
			return 0, err
		case result.Applied:
			return s.remember(doc.Reserved), nil
		}
		if entry, found := result.Current[look.Key]; found {
			look = removable.Look{Key: look.Key, Entry: entry, Found: true}
			continue
		}
		if look, err = s.place.Look(ctx); err != nil { // deleted, or the floor was raised
			return 0, err
		}
	}
}

// remember notes that numbers up to n are reserved, and returns the highest
// that ever were.
func (s *Sequence) remember(n uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = max(s.seen, n)
	return s.seen
}
