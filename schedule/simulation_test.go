package schedule_test

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
	"github.com/quorate/quorate/internal/seeds"
	"github.com/quorate/quorate/schedule"
)

// TestSimulation runs a schedule in processes whose drivers fail at random, which
// crash and are cut off, while the store goes away. Jobs never run side by side, and
// their ticks grow. At most once, no tick is begun twice; at least once, with all
// missed ticks run, every tick has a job that returned.
func TestSimulation(t *testing.T) {
	seeds.Run(t, 300, func(t *testing.T, seed uint64) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &simulation{
				t: t, random: rand.New(rand.NewPCG(seed, 1)), server: memory.NewServer(), atLeastOnce: seed%2 == 0,
				begun: make(map[time.Time]int), done: make(map[time.Time]bool),
			}
			for range 3 {
				s.start()
			}
			for range 15 {
				time.Sleep(time.Duration(s.random.Int64N(int64(15 * time.Second))))
				s.disaster()
			}
			s.end()
			if t.Failed() {
				t.Logf("at least once: %t\n%v", s.atLeastOnce, &s.story)
			}
		})
	})
}

type simulation struct {
	t           *testing.T
	random      *rand.Rand
	server      *memory.Server
	procs       []*simProcess
	atLeastOnce bool

	mu      sync.Mutex // guards what follows
	story   seeds.Story
	running int
	last    time.Time // begun last
	begun   map[time.Time]int
	done    map[time.Time]bool
}

type simProcess struct {
	faults *faults.Driver
	store  *backend.Store
	stop   context.CancelFunc
	ended  chan error
}

func (s *simulation) start() {
	p := &simProcess{faults: faults.Wrap(memory.NewDriver(s.server)), ended: make(chan error, 1)}
	p.faults.Chaos(s.random.Uint64(), faults.Rates{
		Refuse: .03, LoseReply: .05, LandLater: .05, Slow: .2, MaxDelay: time.Second, MaxLate: 30 * time.Second,
	})
	var err error
	if p.store, err = backend.New(p.faults, nil); err != nil {
		s.t.Fatal(err)
	}
	options := &schedule.Options{AtLeastOnce: s.atLeastOnce}
	if s.atLeastOnce {
		options.Missed = schedule.RunAll
	}
	sched, err := schedule.New(p.store, "nightly", schedule.Every(period), options)
	if err != nil {
		s.t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(s.t.Context())
	who := len(s.procs)
	s.procs = append(s.procs, p)
	random := rand.New(rand.NewPCG(s.random.Uint64(), 2))
	go func() {
		p.ended <- sched.Run(ctx, func(ctx context.Context, tick schedule.Tick) error {
			return s.job(ctx, who, tick, time.Duration(random.Int64N(int64(4*time.Second))))
		})
	}()
}

// job is the job, as it should be: it returns when its context ends.
func (s *simulation) job(ctx context.Context, who int, tick schedule.Tick, takes time.Duration) error {
	at := tick.Time.UTC()
	s.mu.Lock()
	s.story.Tell("%d begins %v, term %d, again: %t", who, at, tick.Term, tick.Again)
	if s.running++; s.running > 1 {
		s.t.Errorf("%d jobs run at once", s.running)
	}
	if s.begun[at]++; s.begun[at] > 1 && !s.atLeastOnce {
		s.t.Errorf("the job of %v was begun %d times", at, s.begun[at])
	}
	if at.Before(s.last) || at.After(time.Now()) {
		s.t.Errorf("the job of %v was begun at %v, after that of %v", at, time.Now(), s.last)
	}
	s.last = at
	s.mu.Unlock()
	err := backend.Sleep(ctx, takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story.Tell("%d has run %v: %v", who, at, err)
	s.running--
	if err == nil {
		s.done[at] = true
	}
	return err
}

func (s *simulation) disaster() {
	p := s.procs[s.random.IntN(len(s.procs))]
	switch s.random.IntN(7) {
	case 0:
		s.tell("a process is cut off")
		p.faults.Partition(true)
	case 1, 2:
		s.tell("a process is connected again")
		p.faults.Partition(false)
	case 3:
		s.tell("a process crashes")
		p.faults.Partition(true)
		p.stop()
		s.start()
	case 4:
		s.tell("the store goes down")
		s.server.SetDown(true)
	default:
		s.tell("the store is up")
		s.server.SetDown(false)
	}
}

func (s *simulation) tell(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story.Tell("%s", what)
}

// end ends all faults. After a while the schedule must be where the clock is.
func (s *simulation) end() {
	s.server.SetDown(false)
	for _, p := range s.procs {
		p.faults.Chaos(0, faults.Rates{})
		p.faults.Partition(false)
	}
	time.Sleep(2 * time.Minute)
	s.mu.Lock()
	if behind := time.Since(s.last); behind > period+5*time.Second && !s.atLeastOnce {
		s.t.Errorf("the last tick was %v ago", behind)
	}
	first := s.last
	for tick := range s.begun {
		if tick.Before(first) {
			first = tick
		}
	}
	for tick := first; s.atLeastOnce && tick.Before(s.last); tick = tick.Add(period) {
		if !s.done[tick] {
			s.t.Errorf("no job of %v has returned", tick)
		}
	}
	if len(s.begun) < 5 {
		s.t.Errorf("only %d jobs were begun", len(s.begun))
	}
	s.mu.Unlock()
	for _, p := range s.procs {
		p.stop()
		if err := <-p.ended; !errors.Is(err, context.Canceled) {
			s.t.Errorf("Run = %v", err)
		}
		if err := p.store.Close(); err != nil {
			s.t.Errorf("Close: %v", err)
		}
	}
}
