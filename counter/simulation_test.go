package counter_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/internal/seeds"
)

const (
	simMaxLate = 20 * time.Second // that a commit lands after its caller gave up
	simMaxAdds = 60               // each has a bit of the value
)

// TestSimulation has processes count over drivers that fail at random, while
// disasters happen to them and to the store. Every add has a bit of its own,
// so that the value says which were applied: at each change it is seen, past
// all faults, which ones a commit applied. A seed that fails is printed; -seed
// runs it again.
func TestSimulation(t *testing.T) {
	seeds.Run(t, 2000, func(t *testing.T, seed uint64) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newSimulation(t, seed)
			limit := int(seed/3%3) + 1
			for range 3 {
				s.start(limit)
			}
			for range 10 {
				time.Sleep(time.Duration(s.random.Int64N(int64(4 * time.Second))))
				s.disaster(limit)
			}
			s.calm()
			s.check()
			if t.Failed() {
				t.Logf("seed %d, %s, %d entries:\n%v", seed, s.kinds, limit, &s.story)
			}
		})
	})
}

// simulation is one run. Its story is what happened, for when it fails.
type simulation struct {
	t      *testing.T
	random *rand.Rand
	server *memory.Server
	kinds  string // gentle: nothing happens to what the store keeps; or all
	procs  []*simProcess

	mu       sync.Mutex
	story    seeds.Story
	adds     []*simAdd // by bit
	reads    []*simRead
	value    uint64 // as applied last
	backup   *memory.Snapshot
	backupOf uint64 // the value at the backup
	undone   bool   // a backup was restored, or the store wiped
}

type simProcess struct {
	who     int
	faults  *faults.Driver
	store   *backend.Store
	counter *counter.Counter
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// simAdd is one add: when it began and returned, with what.
type simAdd struct {
	who        int
	bit        uint64
	begin, end int // instants, in order
	result     uint64
	err        error
	expected   bool // the error came with the end of the context, or is errMoved
}

var errMoved = errors.New("the value has moved")

type simRead struct {
	begin, end int
	value      uint64
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	return &simulation{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), server: memory.NewServer(),
		kinds: [...]string{"gentle", "gentle", "all"}[seed%3],
	}
}

// tell adds to the story and returns the instant. The mutex is held.
func (s *simulation) tell(format string, args ...any) int { return s.story.Tell(format, args...) }

// witness is a driver that shows each commit as it is applied. It holds the
// mutex of who looks, so that what is shown is in order.
type witness struct {
	driver.Driver
	mu     *sync.Mutex
	landed func(key string, value uint64)
}

func (w *witness) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	result, err := w.Driver.Commit(ctx, txn)
	if err == nil && result.Applied {
		var doc struct{ Value uint64 }
		if err := json.Unmarshal(txn.Ops[0].Value, &doc); err != nil {
			return result, err
		}
		w.landed(txn.Ops[0].Key, doc.Value)
	}
	return result, err
}

// landed checks what a commit did. The mutex is held.
func (s *simulation) landed(who int, value uint64) {
	bits := value - s.value
	now := s.tell("%d writes %b over %b", who, value, s.value)
	if value < s.value || bits&s.value != 0 {
		s.t.Errorf("%d wrote %b over %b: something was lost or counted twice", who, value, s.value)
	}
	s.value = value
	for _, a := range s.adds {
		if bits&a.bit == 0 {
			continue
		}
		bits &^= a.bit
		if a.who != who {
			s.t.Errorf("%d applied the add %b of %d", who, a.bit, a.who)
		}
		if a.end == 0 || s.undone {
			continue
		}
		if a.err == nil || !errors.Is(a.err, backend.ErrIndeterminate) {
			s.t.Errorf("the add %b was applied after it had returned %v", a.bit, a.err)
		}
		for _, later := range s.adds {
			if later.who == who && later.begin > a.end && later.end > 0 && later.end < now && later.err == nil {
				s.t.Errorf("the add %b, in doubt, was applied after the later %b was acknowledged", a.bit, later.bit)
			}
		}
	}
	if bits != 0 {
		s.t.Errorf("%d applied %b, which nobody added", who, bits)
	}
}

// start starts a process with a few callers.
func (s *simulation) start(limit int) {
	p := &simProcess{who: len(s.procs)}
	p.faults = faults.Wrap(&witness{memory.NewDriver(s.server), &s.mu, func(_ string, value uint64) { s.landed(p.who, value) }})
	p.faults.Chaos(s.random.Uint64(), faults.Rates{
		Refuse: .05, LoseReply: .1, LandLater: .1, Slow: .3, MaxDelay: time.Second, MaxLate: simMaxLate,
	})
	var err error
	if p.store, err = backend.New(p.faults, nil); err != nil {
		s.t.Fatal(err)
	}
	if p.counter, err = counter.New(p.store, "c", nil); err != nil {
		s.t.Fatal(err)
	}
	counter.SetEntries(p.counter, limit)
	var ctx context.Context
	ctx, p.stop = context.WithCancel(s.t.Context())
	s.procs = append(s.procs, p)
	for range 2 {
		random := rand.New(rand.NewPCG(s.random.Uint64(), 2))
		p.done.Go(func() {
			for ctx.Err() == nil {
				s.call(ctx, p, random)
				seeds.Pause(ctx, time.Duration(random.Int64N(int64(6*time.Second))))
			}
		})
	}
}

// call adds once, or reads the value, with more or less patience.
func (s *simulation) call(ctx context.Context, p *simProcess, random *rand.Rand) {
	patience := []time.Duration{300 * time.Millisecond, 2 * time.Second, time.Minute}[random.IntN(3)]
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.mu.Lock()
	if random.IntN(5) == 0 || len(s.adds) == simMaxAdds {
		read := &simRead{begin: s.tell("%d reads", p.who)}
		s.mu.Unlock()
		value, err := p.counter.Value(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		read.value, read.end = uint64(value), s.tell("%d has read %b, %v", p.who, value, err)
		if err == nil {
			s.reads = append(s.reads, read)
		}
		return
	}
	a := &simAdd{who: p.who, bit: 1 << len(s.adds)}
	add := func() (int64, error) { return p.counter.Add(ctx, int64(a.bit)) }
	if random.IntN(3) == 0 {
		// The same by comparison: it is refused where the value has moved.
		old := int64(s.value)
		add = func() (int64, error) {
			swapped, err := p.counter.CompareAndSet(ctx, old, old|int64(a.bit))
			if err == nil && !swapped {
				err = errMoved
			}
			return old | int64(a.bit), err
		}
	}
	a.begin = s.tell("%d adds %b", p.who, a.bit)
	s.adds = append(s.adds, a)
	s.mu.Unlock()
	result, err := add()
	s.mu.Lock()
	defer s.mu.Unlock()
	a.result, a.err, a.expected = uint64(result), err, ctx.Err() != nil || errors.Is(err, errMoved)
	a.end = s.tell("%d has added %b: %b, %v", p.who, a.bit, result, err)
}

// disaster does something bad.
func (s *simulation) disaster(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.procs[s.random.IntN(len(s.procs))]
	switch s.random.IntN(map[string]int{"gentle": 6, "all": 9}[s.kinds]) {
	case 0:
		s.tell("%d is cut off", p.who)
		p.faults.Partition(true)
	case 1:
		s.tell("%d is connected again", p.who)
		p.faults.Partition(false)
	case 2:
		s.tell("%d crashes", p.who) // what it has sent may still land
		s.mu.Unlock()
		p.stop()
		s.start(limit)
		s.mu.Lock()
	case 3:
		s.tell("the store goes down")
		s.server.SetDown(true)
	case 4, 5:
		s.tell("the store is up")
		s.server.SetDown(false)
	case 6:
		s.tell("the store is wiped")
		s.server.Wipe()
		s.value, s.undone = 0, true
	case 7:
		s.tell("a backup is taken")
		s.backup, s.backupOf = s.server.Snapshot(), s.value
	case 8:
		if s.backup != nil {
			s.tell("the backup is restored")
			s.server.Restore(s.backup)
			s.value, s.undone = s.backupOf, true
		}
	}
}

// calm ends all faults, and lets the callers end and everything land. Then all
// must work again.
func (s *simulation) calm() {
	s.mu.Lock()
	s.tell("all faults end")
	s.server.SetDown(false)
	s.mu.Unlock()
	for _, p := range s.procs {
		p.faults.Chaos(0, faults.Rates{})
		p.faults.Partition(false)
		p.stop()
		p.done.Wait()
	}
	time.Sleep(simMaxLate + 2*time.Second)
	for _, p := range s.procs {
		s.mu.Lock()
		want := s.value
		s.mu.Unlock()
		value, err := p.counter.Value(s.t.Context())
		if err != nil || uint64(value) != want {
			s.t.Errorf("the value is %b, %v, and %b was written last", value, err, want)
		}
		if got, err := p.counter.Add(s.t.Context(), 0); err != nil || got != value {
			s.t.Errorf("Add in the end = %b, %v, want %b", got, err, value)
		}
		if err := p.store.Close(); err != nil {
			s.t.Errorf("Close of %d: %v", p.who, err)
		}
	}
}

// check holds what the calls returned against each other. The values that they
// returned must be states of one history, in real-time order.
func (s *simulation) check() {
	type seen struct {
		begin, end int
		value, bit uint64
	}
	var all []seen
	for _, a := range s.adds {
		switch {
		case a.err == nil:
			all = append(all, seen{a.begin, a.end, a.result, a.bit})
			if a.result&a.bit == 0 {
				s.t.Errorf("the add %b returned %b", a.bit, a.result)
			}
			if s.value&a.bit == 0 && !s.undone {
				s.t.Errorf("the add %b was acknowledged and is lost", a.bit)
			}
		case !errors.Is(a.err, backend.ErrIndeterminate):
			if !a.expected {
				s.t.Errorf("the add %b failed: %v", a.bit, a.err)
			}
			// What was under way when the store was wiped or went back can land in
			// what is there afterwards: the guarantees say so.
			if s.value&a.bit != 0 && !s.undone {
				s.t.Errorf("the add %b was applied, and returned %v", a.bit, a.err)
			}
		}
	}
	if s.undone {
		return // the values belong to several histories
	}
	for _, r := range s.reads {
		all = append(all, seen{r.begin, r.end, r.value, 0})
	}
	slices.SortStableFunc(all, func(a, b seen) int {
		if a.value != b.value {
			return int(int64(a.value) - int64(b.value))
		}
		return int(int64(b.bit) - int64(a.bit)) // the add before the reads that show it
	})
	for i, later := range all {
		for _, earlier := range all[:i] {
			switch {
			case earlier.value&^later.value != 0:
				s.t.Errorf("%b and %b are not of one history", earlier.value, later.value)
			case later.bit&earlier.value != 0:
				s.t.Errorf("the add %b returned %b, and %b showed it already", later.bit, later.value, earlier.value)
			case later.end < earlier.begin:
				s.t.Errorf("%b was returned before the call began that returned %b", later.value, earlier.value)
			}
		}
	}
	for _, a := range s.adds {
		if a.err != nil && errors.Is(a.err, backend.ErrIndeterminate) && s.value&a.bit != 0 {
			for _, other := range all { // it took effect after it began
				if other.end < a.begin && other.value&a.bit != 0 {
					s.t.Errorf("%b shows the add %b, which had not begun", other.value, a.bit)
				}
			}
		}
	}
}
