package ids_test

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
	"github.com/quorate/quorate/ids"
	"github.com/quorate/quorate/internal/seeds"
)

const simNodes = 2

// TestSimulation has more processes than node numbers draw IDs over drivers that
// fail at random. Numbers are taken away from processes that do not learn of it at
// once, as from one that is paused, and given to others; clocks jump; processes
// crash; commits land late. No ID is handed out twice, and within a generator IDs
// grow.
func TestSimulation(t *testing.T) {
	seeds.Run(t, 500, func(t *testing.T, seed uint64) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &simulation{
				t: t, random: rand.New(rand.NewPCG(seed, 1)), server: memory.NewServer(), seen: make(map[ids.ID]int),
			}
			for i := range 2 * simNodes {
				s.start(i % simNodes)
			}
			for range 25 {
				time.Sleep(time.Duration(s.random.Int64N(int64(4 * time.Second))))
				s.disaster()
			}
			s.end()
			if t.Failed() {
				t.Logf("%v", &s.story)
			}
		})
	})
}

type simulation struct {
	t      *testing.T
	random *rand.Rand
	server *memory.Server
	procs  []*simProcess

	mu    sync.Mutex // guards what follows
	story seeds.Story
	seen  map[ids.ID]int // by whom
	holds [simNodes]*node
}

type simProcess struct {
	*process
	who  int
	stop context.CancelFunc
	done sync.WaitGroup
	jump time.Duration // of its clock; the simulation's mutex guards it
}

func (s *simulation) start(number int) {
	p := &simProcess{process: start(s.t, s.server), who: len(s.procs)}
	p.faults.Chaos(s.random.Uint64(), faults.Rates{
		Refuse: .05, LoseReply: .1, LandLater: .15, Slow: .3, MaxDelay: time.Second, MaxLate: 30 * time.Second,
	})
	var ctx context.Context
	ctx, p.stop = context.WithCancel(s.t.Context())
	s.procs = append(s.procs, p)
	random := rand.New(rand.NewPCG(s.random.Uint64(), 2))
	p.done.Go(func() {
		for ctx.Err() == nil {
			n, err := p.hold(ctx, number)
			if err != nil {
				return
			}
			s.mu.Lock()
			if before := s.holds[number]; before != nil {
				s.server.Delete("quorate/" + before.key) // which its holder learns later, or never
			}
			s.holds[number] = n
			s.story.Tell("%d holds %d", p.who, number)
			s.mu.Unlock()
			s.draw(ctx, p, n, random)
			seeds.Pause(ctx, time.Duration(random.Int64N(int64(8*time.Second))))
		}
	})
}

// draw draws IDs until the number is lost, or for a while.
func (s *simulation) draw(ctx context.Context, p *simProcess, n *node, random *rand.Rand) {
	g, err := ids.New(p.store, "orders", n, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	ids.SetClock(g, func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return year(24*time.Hour + p.jump)()
	})
	last := ids.ID(0)
	for ctx.Err() == nil && random.IntN(40) > 0 {
		burst := 1
		if random.IntN(20) == 0 {
			burst = 5000
		}
		for range burst {
			call, cancel := context.WithTimeout(ctx, time.Duration(1+random.Int64N(int64(5*time.Second))))
			id, err := g.Next(call)
			bounded := call.Err() != nil
			cancel()
			if err != nil {
				s.failed(p, err, bounded, n)
				if n.ctx.Err() != nil || errors.Is(err, backend.ErrFenced) {
					return // a crash, as far as the document is concerned
				}
				break
			}
			s.mu.Lock()
			if who, twice := s.seen[id]; twice {
				s.t.Errorf("%d (node %d, %v) went to %d and to %d", id, id.Node(), id.Time(), who, p.who)
			}
			s.seen[id] = p.who
			s.mu.Unlock()
			if id <= last || id.Node() != n.number {
				s.t.Errorf("%d after %d, node %d", id, last, id.Node())
			}
			last = id
		}
		seeds.Pause(ctx, time.Duration(random.Int64N(int64(time.Second))))
	}
	if random.IntN(2) == 0 {
		_ = g.Close()
	}
}

func (s *simulation) failed(p *simProcess, err error, bounded bool, n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story.Tell("Next of %d: %v", p.who, err)
	if !bounded && n.ctx.Err() == nil && !errors.Is(err, backend.ErrFenced) {
		s.t.Errorf("Next of %d: %v", p.who, err)
	}
}

func (s *simulation) disaster() {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.procs[s.random.IntN(len(s.procs))]
	switch s.random.IntN(9) {
	case 0:
		p.faults.Partition(true)
	case 1, 2:
		p.faults.Partition(false)
	case 3:
		number := s.random.IntN(simNodes)
		p.stop()
		s.start(number)
	case 4:
		s.server.SetDown(true)
	case 5:
		s.server.SetDown(false)
	case 6:
		if n := s.holds[s.random.IntN(simNodes)]; n != nil {
			s.server.Delete("quorate/" + n.key)
			if s.random.IntN(2) == 0 {
				n.lose(errors.New("lost"))
			}
		}
	default:
		p.jump = time.Duration(s.random.Int64N(int64(20*time.Hour))) - 10*time.Hour
		s.story.Tell("the clock of %d jumps to %v", p.who, p.jump)
	}
}

func (s *simulation) end() {
	s.server.SetDown(false)
	for _, p := range s.procs {
		p.faults.Chaos(0, faults.Rates{})
		p.faults.Partition(false)
	}
	time.Sleep(20 * time.Second)
	for _, p := range s.procs {
		p.stop()
		p.done.Wait()
	}
	time.Sleep(40 * time.Second)
	if len(s.seen) < 100 {
		s.t.Errorf("only %d IDs were drawn", len(s.seen))
	}
	for _, p := range s.procs {
		if err := p.store.Close(); err != nil {
			s.t.Errorf("Close of %d: %v", p.who, err)
		}
	}
}
