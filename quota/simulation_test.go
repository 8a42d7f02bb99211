package quota_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/internal/seeds"
	"github.com/quorate/quorate/quota"
)

const (
	simLimit  = 12
	simWindow = 10 * time.Second
	simLate   = 30 * time.Second // that a commit lands after its caller gave up
)

// TestSimulation has processes take units over drivers that fail at random, while
// their clocks jump, they crash and the store goes away. In no window more is
// granted than the limit. The checker sees every commit as it lands: the window of
// the document only moves forward, and its use is what was granted at least.
func TestSimulation(t *testing.T) {
	seeds.Run(t, 500, func(t *testing.T, seed uint64) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &simulation{
				t: t, random: rand.New(rand.NewPCG(seed, 1)), server: memory.NewServer(),
				granted: make(map[int64]int64), used: make(map[int64]int64),
			}
			for range 3 {
				s.start()
			}
			for range 20 {
				time.Sleep(time.Duration(s.random.Int64N(int64(3 * time.Second))))
				s.disaster()
			}
			s.calm()
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

	mu      sync.Mutex // guards what follows
	story   seeds.Story
	granted map[int64]int64 // by window
	used    map[int64]int64 // the most that the document said, by window
	began   int64           // of the document
}

type simProcess struct {
	who    int
	faults *faults.Driver
	store  *backend.Store
	quota  *quota.Quota
	stop   context.CancelFunc
	done   sync.WaitGroup
	ahead  time.Duration // of its clock; the simulation's mutex guards it
}

// witness shows each commit of the document as it is applied.
type witness struct {
	driver.Driver
	s *simulation
}

func (w witness) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	result, err := w.Driver.Commit(ctx, txn)
	if err == nil && result.Applied {
		var doc struct {
			Start int64 `json:"start_ms"`
			Used  int64 `json:"used"`
		}
		if err := json.Unmarshal(txn.Ops[0].Value, &doc); err != nil {
			return result, err
		}
		w.s.landed(doc.Start, doc.Used)
	}
	return result, err
}

// landed checks a state of the document. The mutex is held.
func (s *simulation) landed(start, used int64) {
	s.story.Tell("the document: window %d, %d used", start, used)
	if start < s.began || used <= s.used[start] || used > simLimit {
		s.t.Errorf("the document goes from window %d, %d used, to window %d, %d used", s.began, s.used[s.began], start, used)
	}
	s.began, s.used[start] = start, used
}

func (s *simulation) start() {
	p := &simProcess{who: len(s.procs)}
	p.faults = faults.Wrap(witness{memory.NewDriver(s.server), s})
	p.faults.Chaos(s.random.Uint64(), faults.Rates{
		Refuse: .05, LoseReply: .1, LandLater: .15, Slow: .3, MaxDelay: 300 * time.Millisecond, MaxLate: simLate,
	})
	var err error
	if p.store, err = backend.New(p.faults, nil); err != nil {
		s.t.Fatal(err)
	}
	if p.quota, err = quota.New(p.store, "q", simLimit, simWindow, nil); err != nil {
		s.t.Fatal(err)
	}
	quota.SetClock(p.quota, func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return time.Now().Add(p.ahead)
	})
	var ctx context.Context
	ctx, p.stop = context.WithCancel(s.t.Context())
	s.procs = append(s.procs, p)
	for range 2 {
		random := rand.New(rand.NewPCG(s.random.Uint64(), 2))
		p.done.Go(func() {
			for seeds.Pause(ctx, time.Duration(random.Int64N(int64(time.Second)))) {
				s.take(ctx, p, 1+random.Int64N(3), random)
			}
		})
	}
}

func (s *simulation) take(ctx context.Context, p *simProcess, n int64, random *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, []time.Duration{300 * time.Millisecond, time.Minute}[random.IntN(2)])
	defer cancel()
	granted, window, err := quota.Take(ctx, p.quota, n)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story.Tell("%d takes %d of window %d: %t, %v", p.who, n, window, granted, err)
	if err != nil && ctx.Err() == nil {
		s.t.Errorf("Take: %v", err)
	}
	if !granted {
		return
	}
	if s.granted[window] += n; s.granted[window] > simLimit || s.granted[window] > s.used[window] {
		s.t.Errorf("%d units of window %d were granted, and the document says %d of %d", s.granted[window], window, s.used[window], simLimit)
	}
}

func (s *simulation) disaster() {
	p := s.procs[s.random.IntN(len(s.procs))]
	switch s.random.IntN(8) {
	case 0:
		p.faults.Partition(true)
	case 1, 2:
		p.faults.Partition(false)
	case 3:
		p.stop() // what it has sent may still land
		s.start()
	case 4:
		s.server.SetDown(true)
	case 5:
		s.server.SetDown(false)
	default:
		s.mu.Lock()
		p.ahead = time.Duration(s.random.Int64N(int64(4*simWindow))) - 2*simWindow
		s.story.Tell("the clock of %d is ahead by %v", p.who, p.ahead)
		s.mu.Unlock()
	}
}

// calm ends all faults. After a while units are granted again in each window.
func (s *simulation) calm() {
	s.server.SetDown(false)
	for _, p := range s.procs {
		p.faults.Chaos(0, faults.Rates{})
		p.faults.Partition(false)
		p.stop()
		p.done.Wait()
	}
	time.Sleep(simLate + 2*time.Second)
	s.mu.Lock()
	for _, p := range s.procs {
		p.ahead = 0
	}
	s.mu.Unlock()
	last := s.procs[len(s.procs)-1]
	for range 3 {
		for got := int64(0); got < simLimit; {
			granted, window, err := quota.Take(s.t.Context(), last.quota, 1)
			if err != nil {
				s.t.Fatalf("Take in the end: %v", err)
			}
			if granted {
				got++
				s.mu.Lock()
				s.granted[window]++
				s.mu.Unlock()
				continue
			}
			wait := time.Until(last.quota.Ends())
			if wait <= 0 || wait > simWindow {
				s.t.Fatalf("refused, and the window ends in %v", wait)
			}
			time.Sleep(wait)
		}
	}
	for window, n := range s.granted {
		if n > simLimit {
			s.t.Errorf("%d units of window %d were granted", n, window)
		}
	}
	for _, p := range s.procs {
		if err := p.store.Close(); err != nil {
			s.t.Errorf("Close of %d: %v", p.who, err)
		}
	}
}
