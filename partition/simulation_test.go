package partition_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/internal/seeds"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

const (
	simMaxDelay = 2 * time.Second
	simSlots    = 5
)

// TestSimulation runs processes that share slots, over drivers that fail at
// random, while disasters happen to the processes and to the store. It knows of
// the library only what its users see. A seed that fails is printed; -seed runs
// it again.
func TestSimulation(t *testing.T) {
	seeds.Run(t, 2000, func(t *testing.T, seed uint64) {
		t.Parallel()
		simulate(t, seed)
	})
}

func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{
			t: t, random: rand.New(rand.NewPCG(seed, 1)), server: memory.NewServer(), began: time.Now(),
			strict: seed%2 == 0, grace: seed%5 == 0, ends: seed%7 == 0, kinds: [...]string{"gentle", "early", "all"}[seed%3],
			highest:   make(map[int]uint64),
			forgotten: seed%3 == 2, // all
		}
		for range 3 {
			s.start(s.newID())
		}
		for range 10 {
			time.Sleep(time.Duration(s.random.Int64N(int64(ttl))))
			s.disaster()
		}
		s.calm()
		s.recovered()
		s.stopAll()
		s.check()
		if t.Failed() {
			t.Logf("seed %d, strict %t, grace %t, ends %t, %s:\n%s", seed, s.strict, s.grace, s.ends, s.kinds, strings.Join(s.story, "\n"))
		}
	})
}

// simulation is one run. Its story is what happened, for when it fails.
type simulation struct {
	t             *testing.T
	random        *rand.Rand
	server        *memory.Server
	strict, grace bool
	ends          bool   // Run ends for a body that does not return in time
	kinds         string // of disasters: gentle, early (claims taken away before their time), all
	procs         []*simProcess
	ids           int

	mu       sync.Mutex
	began    time.Time
	story    []string
	spans    []*simSpan
	snapshot *memory.Snapshot
	highest  map[int]uint64 // per slot: the token of its last guarded write
	// The plan was deleted by hand, and afterwards there was a moment at which
	// nobody ran anything: by then no claims may have stood in the store, and
	// nobody there who remembered the highest epoch, so that tokens may repeat.
	deleted, forgotten bool
	calmed             atomic.Bool // all faults have ended, of the bodies too
}

type simProcess struct {
	id      string
	memory  *memory.Driver
	faults  *faults.Driver
	store   *backend.Store
	cancel  context.CancelFunc
	done    chan struct{}
	gone    bool // crashed or left
	crashed atomic.Bool
}

// simSpan is one time that a body ran.
type simSpan struct {
	p          *simProcess
	slot       int
	token      uint64
	start, end time.Time
}

func (s *simulation) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story = append(s.story, fmt.Sprintf("%10v  ", time.Since(s.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (s *simulation) newID() string {
	s.ids++
	return fmt.Sprintf("p%d", s.ids)
}

// start starts a process.
func (s *simulation) start(id string) {
	p := &simProcess{id: id, memory: memory.NewDriver(s.server), done: make(chan struct{})}
	p.faults = faults.Wrap(p.memory)
	p.faults.Chaos(s.random.Uint64(), faults.Rates{
		Refuse: .03, LoseReply: .03, LandLater: .05, Hollow: .05, Slow: .2,
		MaxDelay: simMaxDelay, MaxLate: 3 * ttl,
	})
	var err error
	if p.store, err = backend.New(p.faults, &backend.Options{TTL: ttl}); err != nil {
		s.t.Fatal(err)
	}
	group, err := membership.New(p.store, "g", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	po := &partition.Options{Slots: simSlots}
	if s.strict {
		po.Strict = ttl
	}
	if s.grace {
		po.Grace = 5 * time.Second
	}
	if s.ends {
		po.DrainTimeout, po.EndOnDrainTimeout = 2*time.Second, true
	}
	part, err := partition.New(group, "p", po)
	if err != nil {
		s.t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(s.t.Context())
	random := rand.New(rand.NewPCG(s.random.Uint64(), 2))
	var mu sync.Mutex
	draw := func(n int64) int64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Int64N(n)
	}
	s.procs = append(s.procs, p)
	s.tell("process %s starts", p.id)
	go func() {
		defer close(p.done)
		reg, err := group.Join(ctx, membership.Member{ID: p.id})
		if err == nil {
			for err == nil || errors.Is(err, partition.ErrDrainTimeout) { // as a supervisor would
				err = part.Run(ctx, reg, func(ctx context.Context, slot *partition.Slot) error {
					return s.body(ctx, p, slot, draw)
				})
				s.tell("Run of %s has ended: %v", p.id, err)
			}
			if ctx.Err() != nil && !p.crashed.Load() {
				leaving, cancel := context.WithTimeout(s.t.Context(), 3*ttl)
				defer cancel()
				_ = reg.Leave(leaving)
			}
		}
		if ctx.Err() == nil {
			s.t.Errorf("Run of %s: %v", p.id, err)
		}
	}()
}

// body runs a slot for as long as it may, and writes under its guard; it takes
// a moment to stop, within the margin.
func (s *simulation) body(ctx context.Context, p *simProcess, slot *partition.Slot, draw func(int64) int64) error {
	span := &simSpan{p: p, slot: slot.Number(), token: slot.Token(), start: time.Now()}
	s.mu.Lock()
	s.spans = append(s.spans, span)
	s.mu.Unlock()
	s.tell("%s runs %d with token %d", p.id, span.slot, span.token)
	defer func() {
		s.mu.Lock()
		span.end = time.Now()
		s.forget()
		s.mu.Unlock()
		s.tell("%s ends %d with token %d: %v", p.id, span.slot, span.token, context.Cause(ctx))
	}()
	for i := 0; ; i++ {
		timer := time.NewTimer(time.Duration(draw(int64(ttl))))
		select {
		case <-ctx.Done():
			timer.Stop()
			if cause := context.Cause(ctx); draw(4) == 0 && (errors.Is(cause, partition.ErrMoved) || errors.Is(cause, partition.ErrDrainTimeout)) {
				pause(slot.Drain(), time.Duration(draw(int64(5*time.Second)))) // in no hurry
			}
			return nil
		case <-timer.C:
		}
		if draw(20) == 0 && !s.calmed.Load() {
			return nil // had enough: is started again, and given up in the end
		}
		key := fmt.Sprintf("data/%d-%s-%d-%d-%d", span.slot, p.id, span.token, i, span.start.UnixNano())
		_, _ = p.store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}}, slot.Guard())
		s.observeWrite(key, span)
	}
}

// forget takes note, with mu held, of whether the highest epoch may be
// forgotten.
func (s *simulation) forget() {
	idle := !slices.ContainsFunc(s.spans, func(sp *simSpan) bool { return sp.end.IsZero() })
	s.forgotten = s.forgotten || s.deleted && idle
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// observeWrite looks, past all faults, whether a write was applied, and holds it
// against the guards' promise: a token that has written is not followed by a
// write with a lower one.
func (s *simulation) observeWrite(key string, span *simSpan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range s.server.Entries() {
		if strings.HasSuffix(entry.Key, key) {
			if !s.forgotten && span.token < s.highest[span.slot] {
				s.t.Errorf("slot %d: a guarded write with token %d was applied after one with token %d", span.slot, span.token, s.highest[span.slot])
			}
			s.highest[span.slot] = max(s.highest[span.slot], span.token)
		}
	}
}

// disaster does something bad.
func (s *simulation) disaster() {
	p := s.procs[s.random.IntN(len(s.procs))]
	n := map[string]int{"gentle": 11, "early": 13, "all": 16}[s.kinds]
	switch what := s.random.IntN(n); what {
	case 0:
		s.tell("process %s is cut off", p.id)
		p.faults.Partition(true)
	case 1:
		s.tell("process %s is connected again", p.id)
		if !p.crashed.Load() {
			p.reconnect()
		}
	case 2:
		s.tell("process %s crashes", p.id)
		again := p.id
		if p.crashed.Load() || s.random.IntN(2) == 0 {
			again = s.newID()
		}
		s.crash(p)
		s.start(again)
	case 3:
		s.tell("the store goes down")
		s.server.SetDown(true)
	case 4:
		s.tell("the store is up")
		s.server.SetDown(false)
	case 5:
		s.tell("watches of %s are cut", p.id)
		p.faults.CutWatches()
	case 6:
		s.tell("leases of %s expire late", p.id)
		p.faults.ExpireLate(2 * ttl)
	case 7:
		if !p.gone {
			s.tell("process %s leaves", p.id)
			p.gone = true
			p.cancel()
			s.start(s.newID())
		}
	case 8:
		if len(s.procs) < 8 {
			s.start(s.newID())
		}
	case 9:
		// What it sends arrives, what it is sent does not.
		s.tell("process %s hears nothing", p.id)
		p.memory.Mute()
	case 10:
		// For all others a pause is silence, after which what was under way
		// is known to nobody.
		s.tell("process %s falls silent for a while", p.id)
		p.memory.Silence()
		time.Sleep(time.Duration(s.random.Int64N(int64(3 * ttl / 2))))
		s.tell("process %s is heard again", p.id)
		p.memory.Heal()
	case 11:
		s.tell("leases of %s expire early", p.id)
		_ = p.faults.ExpireEarly(s.t.Context())
	case 12:
		for _, entry := range s.server.Entries() {
			if strings.HasPrefix(entry.Key, "quorate/") && !strings.Contains(entry.Key, "data") && s.random.IntN(4) == 0 {
				s.tell("%s is deleted by hand", entry.Key)
				s.server.Delete(entry.Key)
				s.mu.Lock()
				s.deleted = s.deleted || strings.HasSuffix(entry.Key, "/plan")
				s.forget()
				s.mu.Unlock()
				break
			}
		}
	case 13:
		s.tell("the store is wiped")
		s.server.Wipe()
	case 14:
		s.tell("a backup is taken")
		s.snapshot = s.server.Snapshot()
	case 15:
		if s.snapshot != nil {
			s.tell("the backup is restored")
			s.server.Restore(s.snapshot)
		}
	}
}

// reconnect undoes what cut the process off.
func (p *simProcess) reconnect() {
	p.faults.Partition(false)
	p.memory.Heal()
}

// crash makes a process fall silent: it is never heard of again, though what
// runs in it goes on for as long as it trusts itself.
func (s *simulation) crash(p *simProcess) {
	p.faults.Partition(true)
	p.gone = true
	p.crashed.Store(true)
	p.cancel()
}

// calm ends all faults.
func (s *simulation) calm() {
	s.tell("all faults end")
	s.calmed.Store(true)
	s.server.SetDown(false)
	for _, p := range s.procs {
		p.faults.Chaos(0, faults.Rates{})
		p.faults.ExpireLate(0)
		if !p.crashed.Load() {
			p.reconnect()
		}
	}
}

// recovered checks that every slot is run once, by one who is there, soon
// enough.
func (s *simulation) recovered() {
	// What was sent may land for three TTLs, and undo what had settled; then it
	// has to be quiet for two.
	patience := 3*ttl + 2*ttl
	if s.strict {
		patience += ttl
	}
	time.Sleep(patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	running := make(map[int][]string)
	for _, span := range s.spans {
		if span.end.IsZero() {
			running[span.slot] = append(running[span.slot], span.p.id)
		}
	}
	for k := range simSlots {
		if n := len(running[k]); n != 1 {
			s.t.Errorf("%v after the last fault slot %d is run by %d: %v", patience, k, n, running[k])
		}
	}
}

// stopAll ends the processes and checks that they leave nothing.
func (s *simulation) stopAll() {
	for _, p := range s.procs {
		p.cancel()
	}
	for _, p := range s.procs {
		if !p.crashed.Load() {
			<-p.done
		}
	}
	for _, p := range s.procs {
		if p.crashed.Load() {
			_ = p.store.Close()
			<-p.done
			continue
		}
		if err := p.store.Close(); err != nil {
			s.t.Errorf("Close of %s: %v", p.id, err)
		}
	}
	time.Sleep(ttl + time.Second) // sessions of lost replies
	marks := 0
	for _, entry := range s.server.Entries() {
		if entry.Lease != "" {
			s.t.Errorf("%s is left", entry.Key)
		}
		if strings.Contains(entry.Key, "/line/") {
			marks++
		}
	}
	// One, and base marks that landed after a new line had been made; those of
	// before are deleted with it.
	if marks > len(s.procs) {
		s.t.Errorf("%d marks are left by %d processes", marks, len(s.procs))
	}
}

// check looks at who ran what when.
func (s *simulation) check() {
	var allowed time.Duration
	if s.kinds == "all" || s.kinds == "early" && !s.strict {
		// A notification: a watch that failed begins again, and is slow.
		allowed = 4*simMaxDelay + 3*time.Second
	}
	for i, b := range s.spans {
		for _, a := range s.spans[:i] {
			if a.slot != b.slot {
				continue
			}
			if overlap := a.end.Sub(b.start); overlap > allowed {
				s.t.Errorf("slot %d: token %d of %s and token %d of %s overlap by %v, allowed is %v", a.slot, a.token, a.p.id, b.token, b.p.id, overlap, allowed)
			}
			if !s.forgotten && (b.token < a.token || b.token == a.token && a.p != b.p) {
				s.t.Errorf("slot %d: token %d of %s came after token %d of %s", a.slot, b.token, b.p.id, a.token, a.p.id)
			}
		}
	}
	if len(s.spans) == 0 {
		s.t.Error("nobody ever ran anything")
	}
}
