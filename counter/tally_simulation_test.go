package counter_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/internal/seeds"
)

// TestTallySimulation has processes count with Tallies over drivers that fail
// at random. Every add has a bit of its own, and each change of a shard is
// seen, past all faults: nothing may be counted twice, in any shard; what was
// flushed must be there; each Total must be the total of an instant of its
// call; and of what was added only that of a crashed process may be missing.
func TestTallySimulation(t *testing.T) {
	seeds.Run(t, 2000, func(t *testing.T, seed uint64) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &tallySimulation{
				t: t, random: rand.New(rand.NewPCG(seed, 1)), server: memory.NewServer(),
				limit: []int{1, 2, counter.MaxEntries}[seed%3], shards: make(map[string]uint64),
			}
			for range 3 {
				s.start()
			}
			for range 8 {
				time.Sleep(time.Duration(s.random.Int64N(int64(4 * time.Second))))
				s.disaster()
			}
			s.end()
			if t.Failed() {
				t.Logf("seed %d, %d entries:\n%v", seed, s.limit, &s.story)
			}
		})
	})
}

type tallySimulation struct {
	t      *testing.T
	random *rand.Rand
	server *memory.Server
	limit  int
	procs  []*tallyProcess

	mu     sync.Mutex
	story  seeds.Story
	bits   int
	shards map[string]uint64
	totals []uint64 // of all instants
}

type tallyProcess struct {
	who     int
	faults  *faults.Driver
	store   *backend.Store
	tally   *counter.Tally
	added   uint64 // by this process
	crashed bool
	stop    context.CancelFunc
	done    sync.WaitGroup
}

func (s *tallySimulation) tell(format string, args ...any) {
	s.story.Tell(format, args...)
}

// total is what all shards hold. The mutex is held.
func (s *tallySimulation) total() uint64 {
	var sum uint64
	for _, value := range s.shards {
		sum += value
	}
	return sum
}

// landed checks what a flush did. The mutex is held.
func (s *tallySimulation) landed(p *tallyProcess, shard string, value uint64) {
	s.tell("%d writes %b to %s over %b", p.who, value, shard, s.shards[shard])
	bits := value - s.shards[shard]
	if value < s.shards[shard] || bits&s.total() != 0 {
		s.t.Errorf("%d wrote %b over %b: something was lost or counted twice", p.who, value, s.shards[shard])
	}
	if bits&^p.added != 0 {
		s.t.Errorf("%d flushed %b, of which it has added %b only", p.who, bits, p.added)
	}
	s.shards[shard] = value
	s.totals = append(s.totals, s.total())
}

func (s *tallySimulation) start() {
	p := &tallyProcess{who: len(s.procs)}
	landed := func(shard string, value uint64) { s.landed(p, shard, value) }
	p.faults = faults.Wrap(&witness{memory.NewDriver(s.server), &s.mu, landed})
	p.faults.Chaos(s.random.Uint64(), faults.Rates{
		Refuse: .05, LoseReply: .1, LandLater: .1, Slow: .3, MaxDelay: time.Second, MaxLate: simMaxLate,
	})
	var err error
	if p.store, err = backend.New(p.faults, nil); err != nil {
		s.t.Fatal(err)
	}
	if p.tally, err = counter.NewTally(p.store, "t", &counter.TallyOptions{Shards: 3}); err != nil {
		s.t.Fatal(err)
	}
	counter.SetTallyEntries(p.tally, s.limit)
	var ctx context.Context
	ctx, p.stop = context.WithCancel(s.t.Context())
	s.procs = append(s.procs, p)
	for range 2 {
		random := rand.New(rand.NewPCG(s.random.Uint64(), 2))
		p.done.Go(func() {
			for ctx.Err() == nil {
				s.call(ctx, p, random)
				seeds.Pause(ctx, time.Duration(random.Int64N(int64(3*time.Second))))
			}
		})
	}
}

func (s *tallySimulation) call(ctx context.Context, p *tallyProcess, random *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	switch random.IntN(8) {
	case 0:
		s.mu.Lock()
		before := p.added
		s.mu.Unlock()
		err := p.tally.Flush(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tell("%d has flushed: %v", p.who, err)
		if missing := before &^ s.total(); err == nil && missing != 0 && s.limit == counter.MaxEntries {
			s.t.Errorf("%d flushed, and %b is missing", p.who, missing)
		}
	case 1:
		s.mu.Lock()
		from := max(0, len(s.totals)-1)
		s.mu.Unlock()
		got, err := p.tally.Total(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tell("%d says that the total is %b: %v", p.who, got, err)
		known := len(s.totals) == 0 && got == 0 || from == 0 && got == 0
		for _, total := range s.totals[from:] {
			known = known || total == uint64(got)
		}
		if err == nil && !known {
			s.t.Errorf("%d says that the total is %b, and at no instant of the call it was", p.who, got)
		}
	default:
		s.mu.Lock()
		if s.bits == simMaxAdds {
			s.mu.Unlock()
			return
		}
		bit := uint64(1) << s.bits
		s.bits++
		p.added |= bit
		p.tally.Add(int64(bit)) // no I/O; under the lock, so that no Flush comes between
		s.mu.Unlock()
	}
}

func (s *tallySimulation) disaster() {
	p := s.procs[s.random.IntN(len(s.procs))]
	switch s.random.IntN(6) {
	case 0, 1:
		p.faults.Partition(true)
	case 2, 3:
		p.faults.Partition(false)
	case 4:
		s.server.SetDown(s.random.IntN(2) == 0)
	case 5:
		if !p.crashed {
			s.mu.Lock()
			s.tell("%d crashes", p.who)
			s.mu.Unlock()
			p.crashed = true
			s.crash(p)
			s.start()
		}
	}
}

// crash stops a process without a flush. What it has sent may still land.
func (s *tallySimulation) crash(p *tallyProcess) {
	p.stop()
	p.done.Wait()
	p.faults.Partition(true)
	_ = p.tally.Close()
}

// end ends all faults, closes the Tallies and looks at what they leave.
func (s *tallySimulation) end() {
	s.server.SetDown(false)
	for _, p := range s.procs {
		p.faults.Chaos(0, faults.Rates{})
		p.faults.Partition(false)
	}
	var missing uint64 // that may be
	for _, p := range s.procs {
		p.stop()
		p.done.Wait()
		if p.crashed {
			missing |= p.added
			continue
		}
		switch err := errors.Join(p.tally.Flush(s.t.Context()), p.tally.Close()); {
		case err == nil:
		case s.limit < counter.MaxEntries && errors.Is(err, backend.ErrIndeterminate):
		default:
			s.t.Errorf("Close of %d: %v", p.who, err)
		}
	}
	time.Sleep(simMaxLate + 2*time.Second)
	total, err := s.procs[0].tally.Total(s.t.Context())
	if err != nil {
		s.t.Errorf("Total: %v", err)
	}
	for _, p := range s.procs {
		if err := p.store.Close(); err != nil {
			s.t.Errorf("Close of %d's Store: %v", p.who, err)
		}
	}
	if uint64(total) != s.total() {
		s.t.Errorf("Total says %b, and %b is in the store", total, s.total())
	}
	all := uint64(1)<<s.bits - 1
	if lost := all &^ s.total() &^ missing; lost != 0 && s.limit == counter.MaxEntries {
		s.t.Errorf("%b is lost", lost)
	}
}
