package simulation

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/internal/seeds"
)

// TestSimulation runs all primitives together, a subtest for each seed. A seed
// that fails is printed with its story and the command that runs it again.
func TestSimulation(t *testing.T) {
	t.Run("seeds", func(t *testing.T) { // returns when all of them have ended
		seeds.Run(t, 200, func(t *testing.T, seed uint64) {
			t.Parallel()
			simulate(t, seed)
		})
	})
	all.report(t)
}

func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, seed)
		for range 3 {
			s.start(s.newID())
		}
		for range 12 {
			time.Sleep(time.Duration(s.random.Int64N(int64(ttl))))
			s.disaster()
		}
		s.calm()
		s.recovered()
		s.end()
		s.check()
		all.add(s)
		if t.Failed() {
			t.Logf("seed %d, %s, slots strict %t:\n%v", seed, kinds[s.kind].name, s.strict, &s.story)
		}
	})
}

// simulation is one run.
type simulation struct {
	t      *testing.T
	random *rand.Rand // of the schedule's goroutine
	server *memory.Server
	kind   int
	strict bool // the partition is
	story  seeds.Story
	ids    int
	counts [faultKinds]int
	backup *backup
	ending sync.WaitGroup // processes that end
	calmed atomic.Bool    // all faults have ended, those of bodies too
	quiet  atomic.Bool    // and for long

	mu       sync.Mutex // also orders the commits
	procs    []*process
	taken    promises
	offices  []*office
	slots    [slots]*owned
	locks    locks
	counted  counted
	tallied  tallied
	numbered numbered
	leases   []string // of all time
	writes   int      // under guards, applied
	overlap  time.Duration
}

// office is an election with the checkpoint that its leader keeps.
type office struct {
	owned
	name     string
	strict   bool
	progress progress
	cut      bool // of what holds its number a key was deleted by hand
}

// backup is a snapshot with what the checkers knew then.
type backup struct {
	store    *memory.Snapshot
	progress []uint64
	fences   []fence
	slots    [slots]fence
	locks    map[string]fence
	value    int64
	shards   map[string]int64
	numbers  map[uint64]string
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), server: memory.NewServer(),
		kind: int(seed % 3), strict: seed/3%2 == 0, locks: newLocks(),
	}
	for _, name := range []string{"plain", "strict"} {
		s.offices = append(s.offices, &office{
			owned: owned{what: "the election " + name}, name: name, strict: name == "strict",
			progress: progress{what: "the checkpoint " + name},
		})
	}
	for k := range s.slots {
		s.slots[k] = &owned{what: fmt.Sprintf("slot %d", k)}
	}
	s.counted.results = make(map[int64]bool)
	s.tallied.shards = make(map[string]int64)
	s.numbered.issued = make(map[uint64]string)
	s.counts[callsFail] = 1
	return s
}

func (s *simulation) newID() string {
	s.ids++
	return fmt.Sprintf("p%d", s.ids)
}

// holds reports whether a promise stands, after all that has happened. The mutex
// is held.
func (s *simulation) holds(p promises) bool { return s.taken&p == 0 }

// landed shows a commit to the checkers. The mutex is held.
func (s *simulation) landed(txn driver.Txn) {
	for _, op := range txn.Ops {
		parts := strings.Split(op.Key, "/")
		if len(parts) < 4 || op.Kind == driver.OpDelete {
			continue
		}
		switch kind, name := parts[1], parts[2]; kind {
		case "counter":
			s.counted.landed(s, op.Value)
		case "tally":
			s.tallied.landed(s, parts[len(parts)-1], op.Value)
		case "checkpoint":
			o := s.office(name)
			o.progress.landed(s, &o.fence, op.Value)
		case "data":
			o := s.guarded(name, parts[3])
			s.writes++
			if !o.fence.wrote(parts[4]) {
				s.t.Errorf("%s: a guarded write of %s was applied after a later owner's", o.what, parts[4])
			}
		}
	}
}

func (s *simulation) office(name string) *office {
	for _, o := range s.offices {
		if o.name == name {
			return o
		}
	}
	return nil
}

// guarded returns whose guard a write has, by the key.
func (s *simulation) guarded(what, name string) *owned {
	switch what {
	case "election":
		return &s.office(name).owned
	case "lock":
		return s.locks[name]
	}
	return s.slots[name[0]-'0']
}

// takeBackup remembers what a restore goes back to.
func (s *simulation) takeBackup() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story.Tell("a backup is taken")
	b := &backup{
		store: s.server.Snapshot(), value: s.counted.value,
		shards: maps.Clone(s.tallied.shards), numbers: maps.Clone(s.numbered.fixed),
	}
	if s.holds(numbersUnique) {
		b.numbers = maps.Clone(s.numbered.issued)
	}
	for _, o := range s.offices {
		b.progress = append(b.progress, o.progress.now)
		b.fences = append(b.fences, o.fence.copied())
	}
	for k, o := range s.slots {
		b.slots[k] = o.fence.copied()
	}
	b.locks = make(map[string]fence)
	for name, o := range s.locks {
		b.locks[name] = o.fence.copied()
	}
	s.backup = b
}

// undo wipes the store, or restores the backup if there is one to restore, and
// puts the checkers back with it.
func (s *simulation) undo(what fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unique := s.holds(numbersUnique)
	s.happens(what)
	b := &backup{progress: make([]uint64, len(s.offices))}
	if what == restored {
		b = s.backup
		s.server.Restore(b.store)
		for i, o := range s.offices {
			o.fence = b.fences[i].copied()
		}
		for k, o := range s.slots {
			o.fence = b.slots[k].copied()
		}
		for name, o := range s.locks {
			o.fence = b.locks[name].copied()
		}
	} else {
		s.server.Wipe() // guards name keys that are never made again: the fences stay
	}
	for i, o := range s.offices {
		o.progress.undone(b.progress[i])
	}
	s.counted.undone(b.value)
	s.tallied.undone(s, b.shards)
	s.numbered.fixed = nil
	if unique { // else a process may have left what was reserved while it was not
		s.numbered.fixed = maps.Clone(b.numbers)
	}
}

// happens notes a fault, and what it takes away. The mutex is held.
func (s *simulation) happens(f fault) {
	s.counts[f]++
	s.taken |= rules[f].takes
}
