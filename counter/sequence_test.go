package counter_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
)

func (p *process) sequence(t *testing.T, options *counter.SequenceOptions) *counter.Sequence {
	t.Helper()
	s, err := counter.NewSequence(p.store, "s", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func next(t *testing.T, s *counter.Sequence) uint64 {
	t.Helper()
	n, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Numbers begin at 1, grow within a process, and no two calls get the same,
// whatever becomes of commits.
func TestSequenceIsUniqueAndGrows(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		var mu sync.Mutex
		owner := make(map[uint64]string)
		var wg sync.WaitGroup
		for i := range 4 {
			p := start(t, server, nil)
			p.faults.Chaos(uint64(i)+1, faults.Rates{
				Refuse: .05, LoseReply: .2, LandLater: .2, Slow: .5, MaxDelay: time.Second, MaxLate: time.Minute,
			})
			s := p.sequence(t, nil)
			for j := range 4 {
				wg.Go(func() {
					last := uint64(0)
					for range 2000 {
						n, err := s.Next(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						if who, taken := owner[n]; taken {
							t.Errorf("%d went to %s and to %d/%d", n, who, i, j)
						}
						owner[n] = fmt.Sprintf("%d/%d", i, j)
						mu.Unlock()
						if n <= last {
							t.Errorf("%d after %d", n, last)
						}
						last = n
					}
				})
			}
		}
		wg.Wait()
		if owner[1] == "" {
			t.Error("nobody got 1")
		}
	})
}

// A number that is handed out after another call has returned is higher,
// whichever goroutine asks.
func TestSequenceGrowsAcrossGoroutines(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		s := start(t, server, nil).sequence(t, nil)
		last := uint64(0)
		for range 1000 {
			got := make(chan uint64)
			go func() { got <- next(t, s) }()
			if n := <-got; n != last+1 {
				t.Fatalf("%d after %d: a single process leaves no gap", n, last)
			} else {
				last = n
			}
		}
	})
}

// Blocks grow with use, up to MaxBlock, and are reserved before they are
// needed: a slow store holds nobody up.
func TestSequenceReservesAhead(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		s := p.sequence(t, &counter.SequenceOptions{MaxBlock: 1000})
		next(t, s)
		p.faults.Chaos(1, faults.Rates{Slow: 1, MaxDelay: 10 * time.Millisecond})
		calls := func() uint64 { return p.faults.Calls(faults.Commit) }
		for range 20000 {
			next(t, s)
		}
		time.Sleep(time.Second) // until the next block is there
		before := calls()
		for range 10000 {
			time.Sleep(100 * time.Microsecond)
			began := time.Now()
			next(t, s)
			if waited := time.Since(began); waited > 0 {
				t.Fatalf("a call waited %v", waited)
			}
		}
		if n := calls() - before; n < 9 || n > 12 {
			t.Errorf("%d reservations for 10000 numbers in blocks of 1000", n)
		}
		time.Sleep(time.Minute)
		if n := calls(); n > before+12 {
			t.Errorf("%d reservations at rest", n-before-12)
		}
	})
}

// A sequence that is hardly used does not grow its blocks.
func TestSequenceAtLeisure(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		s := start(t, server, nil).sequence(t, nil)
		for range 200 {
			next(t, s)
			time.Sleep(10 * time.Second)
		}
		s.Close()
		if n := next(t, start(t, server, nil).sequence(t, nil)); n > 201+3*16 {
			t.Errorf("the next process begins at %d after 200 numbers", n)
		}
	})
}

// A reservation of unknown outcome is not used, whether it was made or not.
func TestSequenceThrowsAwayWhatIsInDoubt(t *testing.T) {
	for _, fault := range []faults.Fault{{LoseReply: true}, {LandLater: time.Hour}} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			p, q := start(t, server, nil), start(t, server, nil)
			s, r := p.sequence(t, nil), q.sequence(t, nil)
			p.faults.Next(faults.Commit, fault)
			first := next(t, s)
			if fault.LoseReply && first != 17 || !fault.LoseReply && first != 1 {
				t.Errorf("after %+v the first number is %d", fault, first)
			}
			other := next(t, r)
			time.Sleep(2 * time.Hour)
			for range 100 {
				if n := next(t, s); n == other {
					t.Errorf("%d twice", n)
				}
			}
		})
	}
}

// After a restore a process carries on above the highest it has seen.
func TestSequenceAfterARestore(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		s := p.sequence(t, nil)
		next(t, s)
		backup := server.Snapshot()
		last := uint64(0)
		for range 100 {
			last = next(t, s)
		}
		server.Restore(backup)
		for range 1000 {
			n := next(t, s)
			if n <= last {
				t.Fatalf("%d after %d", n, last)
			}
			last = n
		}
		server.Wipe()
		for range 100000 {
			n := next(t, s)
			if n <= last {
				t.Fatalf("%d after %d", n, last)
			}
			last = n
		}
		if n := next(t, start(t, server, nil).sequence(t, nil)); n <= last {
			t.Errorf("another process got %d after %d: the store was not raised", n, last)
		}
	})
}

func TestSequenceContextEnds(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		s := p.sequence(t, nil)
		server.SetDown(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next in an outage: %v", err)
		}
		time.Sleep(time.Hour)
		server.SetDown(false)
		if n := next(t, s); n != 1 {
			t.Errorf("the first number is %d: one was lost", n)
		}
	})
}

func TestSequenceClose(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		s := p.sequence(t, nil)
		next(t, s)
		s.Close()
		if n, err := s.Next(t.Context()); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Next after Close = %d, %v", n, err)
		}
		s.Close()

		waiting := p.sequence(t, nil)
		server.SetDown(true)
		failed := make(chan error)
		go func() {
			_, err := waiting.Next(t.Context())
			failed <- err
		}()
		synctest.Wait()
		waiting.Close()
		if err := <-failed; !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Next under way at Close: %v", err)
		}
	})
}

func TestSequenceIsUsedUp(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		doc := fmt.Appendf(nil, `{"format":1,"reserved":%d}`, uint64(math.MaxUint64-16))
		if _, err := p.store.Commit(t.Context(), backend.Txn{Ops: []backend.Op{driver.Create("sequence/s/value~0", doc)}}); err != nil {
			t.Fatal(err)
		}
		s := p.sequence(t, nil)
		for i := range uint64(16) {
			if n := next(t, s); n != math.MaxUint64-15+i {
				t.Fatalf("got %d", n)
			}
		}
		if n, err := s.Next(t.Context()); !errors.Is(err, counter.ErrOutOfRange) {
			t.Errorf("after the last: %d, %v", n, err)
		}
	})
}

// Numbers start above MinNumber, whatever the store says, and once one has been
// drawn above it those of processes without it do too.
func TestSequenceMinNumber(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		for i := range uint64(20) {
			if n := next(t, p.sequence(t, nil)); n != 16*i+1 {
				t.Fatalf("got %d", n)
			}
		}
		lifted := q.sequence(t, &counter.SequenceOptions{MinNumber: 1000})
		for i := range uint64(100) {
			if n := next(t, lifted); n != 1001+i {
				t.Fatalf("got %d, want %d", n, 1001+i)
			}
		}
		if n := next(t, p.sequence(t, nil)); n <= 1100 {
			t.Errorf("a process without it got %d", n)
		}
		// The store knows a higher one.
		if n := next(t, q.sequence(t, &counter.SequenceOptions{MinNumber: 5})); n <= 1100 {
			t.Errorf("with a lower one it got %d", n)
		}
		last := q.sequence(t, &counter.SequenceOptions{MinNumber: math.MaxUint64})
		if n, err := last.Next(t.Context()); !errors.Is(err, counter.ErrOutOfRange) {
			t.Errorf("above the last number: %d, %v, want ErrOutOfRange", n, err)
		}
	})
}
