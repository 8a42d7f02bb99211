package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/internal/seeds"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/restart"
)

const slots = 5

// process is one that uses all primitives, with one Store.
type process struct {
	s      *simulation
	serial int
	id     string // as a member
	memory *memory.Driver
	faults *faults.Driver
	gate   *gate
	store  *backend.Store

	group    *membership.Group
	reg      atomic.Pointer[membership.Registration] // nil until it has joined
	part     *partition.Partition
	counter  *counter.Counter
	tally    *counter.Tally
	sequence *counter.Sequence
	locks    locksOf

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
	gone bool // crashed, or left: of the schedule's goroutine
	dead atomic.Bool

	sums sums // with the simulation's mutex held
}

// start starts a process.
func (s *simulation) start(id string) {
	p := &process{s: s, serial: len(s.procs), id: id, memory: memory.NewDriver(s.server)}
	p.faults = faults.Wrap(witness{p.memory, s})
	p.faults.Chaos(s.random.Uint64(), faults.Rates{
		Refuse: .03, LoseReply: .03, LandLater: .05, Hollow: .05, Slow: .2, MaxDelay: maxDelay, MaxLate: maxLate,
	})
	p.gate = newGate(p.faults)
	var err error
	must := func() {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	p.store, err = backend.New(p.gate, &backend.Options{TTL: ttl})
	must()
	p.group, err = membership.New(p.store, "group", nil)
	must()
	po := &partition.Options{Slots: slots}
	if s.strict {
		po.Strict = ttl
	}
	p.part, err = partition.New(p.group, "work", po)
	must()
	p.counter, err = counter.New(p.store, "count", nil)
	must()
	p.tally, err = counter.NewTally(p.store, "sum", &counter.TallyOptions{Shards: 3})
	must()
	p.sequence, err = counter.NewSequence(p.store, "ids", &counter.SequenceOptions{MaxBlock: 8})
	must()
	p.locks = s.newLocksOf(p.store)
	p.ctx, p.stop = context.WithCancel(context.Background())
	s.mu.Lock()
	s.procs = append(s.procs, p)
	s.mu.Unlock()
	s.story.Tell("%d starts as %s", p.serial, p.id)
	for _, o := range s.offices {
		e, err := election.New(p.store, o.name, &election.Options{Strict: o.strict, ID: p.id})
		if err != nil {
			s.t.Fatal(err)
		}
		c, err := restart.NewCheckpoint[saved](p.store, o.name, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		p.loop(func(random *rand.Rand) {
			err := e.Run(p.ctx, func(ctx context.Context, lead *election.Leadership) error {
				p.lead(ctx, o, lead, c, random)
				return nil
			})
			if err != nil && p.ctx.Err() == nil {
				s.t.Errorf("Run of %s in the election %s: %v", p.id, o.name, err)
				p.stop()
			}
		})
	}
	for range 2 {
		p.loop(p.count)
	}
	p.loop(p.sum)
	for range 2 {
		p.loop(p.lock)
	}
	last := uint64(0)
	p.loop(func(random *rand.Rand) { last = p.number(random, last) })
	random := s.newRandom()
	p.work.Go(func() { p.belong(random) })
	p.work.Go(p.follow)
}

func (s *simulation) newRandom() *rand.Rand { return rand.New(rand.NewPCG(s.random.Uint64(), 2)) }

// loop does something again and again until the process ends.
func (p *process) loop(do func(*rand.Rand)) {
	random := p.s.newRandom()
	p.work.Go(func() {
		for p.ctx.Err() == nil {
			do(random)
		}
	})
}

func upTo(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}

// patience bounds a call, often so that it is given up half-way.
func patience(ctx context.Context, random *rand.Rand) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, []time.Duration{300 * time.Millisecond, 2 * time.Second, time.Minute}[random.IntN(3)])
}

// lead leads for a while. It writes under its guard, and saves its progress.
func (p *process) lead(ctx context.Context, o *office, lead *election.Leadership, c *restart.Checkpoint[saved], random *rand.Rand) {
	s := p.s
	s.mu.Lock()
	tenure := o.begin(p, fmt.Sprintf("%s.%d.%d", p.id, p.serial, len(o.spans)), lead.Term())
	s.mu.Unlock()
	s.story.Tell("%s leads %s with term %d", tenure.by, o.name, lead.Term())
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		tenure.end = time.Now()
		s.story.Tell("%s ends: %v", tenure.by, context.Cause(ctx))
	}()
	claimed, n := false, uint64(0)
	for i := 0; ; i++ {
		if !seeds.Pause(ctx, upTo(random, ttl/2)) || random.IntN(12) == 0 {
			return
		}
		if random.IntN(3) == 0 {
			key := fmt.Sprintf("data/election/%s/%s/%d", o.name, tenure.by, i)
			_, _ = p.store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}}, lead.Guard())
			continue
		}
		call, cancel := patience(ctx, random)
		if !claimed {
			n, claimed = p.claim(call, o, tenure.by, c, lead.Guard())
		} else {
			n++
			claimed = p.save(call, o, saved{By: tenure.by, N: n}, c)
		}
		cancel()
	}
}

func (p *process) claim(ctx context.Context, o *office, by string, c *restart.Checkpoint[saved], guard backend.Guard) (n uint64, ok bool) {
	s := p.s
	s.mu.Lock()
	floor, epoch := o.progress.acked, o.progress.epoch
	s.mu.Unlock()
	value, _, err := c.Claim(ctx, guard)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story.Tell("%s has claimed: %+v, %v", by, value, err)
	if err == nil {
		o.progress.claimed(s, by, value, floor, epoch)
	} else if ctx.Err() == nil && !errors.Is(err, backend.ErrFenced) {
		s.t.Errorf("Claim of %s: %v", by, err)
	}
	return value.N, err == nil
}

// save reports whether the claim stands.
func (p *process) save(ctx context.Context, o *office, value saved, c *restart.Checkpoint[saved]) bool {
	s := p.s
	s.mu.Lock()
	epoch := o.progress.epoch
	s.mu.Unlock()
	err := c.Save(ctx, value)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story.Tell("%s has saved %d: %v", value.By, value.N, err)
	fenced := errors.Is(err, backend.ErrFenced)
	switch {
	case err == nil:
		o.progress.saved(s, value.By, value.N, epoch)
	case ctx.Err() == nil && !fenced:
		s.t.Errorf("Save of %s: %v", value.By, err)
	}
	return !fenced
}

// count adds one to the counter, with more or less patience.
func (p *process) count(random *rand.Rand) {
	if !seeds.Pause(p.ctx, upTo(random, 5*time.Second)) {
		return
	}
	ctx, cancel := patience(p.ctx, random)
	defer cancel()
	p.add(ctx)
}

func (p *process) add(ctx context.Context) bool {
	s := p.s
	s.mu.Lock()
	a := s.counted.begin()
	s.mu.Unlock()
	result, err := p.counter.Add(ctx, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story.Tell("%s has added: %d, %v", p.id, result, err)
	s.counted.end(ctx, s, a, result, err)
	return err == nil
}

// sum adds one to the tally, and flushes now and then.
func (p *process) sum(random *rand.Rand) {
	if !seeds.Pause(p.ctx, upTo(random, 2*time.Second)) {
		return
	}
	if random.IntN(8) == 0 {
		ctx, cancel := patience(p.ctx, random)
		defer cancel()
		_ = p.flush(ctx)
		return
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.sums.added++
	p.tally.Add(1)
}

func (p *process) flush(ctx context.Context) error {
	return p.flushes(ctx, "flushed", p.tally.Flush)
}

func (p *process) flushes(ctx context.Context, what string, flush func(context.Context) error) error {
	s := p.s
	s.mu.Lock()
	added, epoch := p.sums.added, s.tallied.epoch
	s.mu.Unlock()
	err := flush(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story.Tell("%s has %s %d: %v", p.id, what, added, err)
	if err == nil && epoch == s.tallied.epoch {
		s.tallied.flush++
		p.sums.flush(added)
		s.tallied.check(s)
	}
	if err != nil && ctx.Err() == nil && s.holds(nothingLost) {
		s.t.Errorf("%s has not %s: %v", p.id, what, err)
	}
	return err
}

// number takes a number. It returns the last that the process got.
func (p *process) number(random *rand.Rand, last uint64) uint64 {
	if !seeds.Pause(p.ctx, upTo(random, 2*time.Second)) {
		return last
	}
	ctx, cancel := patience(p.ctx, random)
	defer cancel()
	number, err := p.sequence.Next(ctx)
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			s.t.Errorf("Next of %s: %v", p.id, err)
		}
		return last
	}
	s.numbered.take(s, p, number, last)
	return number
}

// belong is a member, and runs slots.
func (p *process) belong(random *rand.Rand) {
	s := p.s
	var mu sync.Mutex
	draw := func(n int64) int64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Int64N(n)
	}
	var reg *membership.Registration
	for again := true; again; {
		var err error
		if reg, err = p.group.Join(p.ctx, membership.Member{ID: p.id}); err != nil {
			if p.ctx.Err() == nil {
				s.t.Errorf("Join of %s: %v", p.id, err)
			}
			return
		}
		p.reg.Store(reg)
		s.story.Tell("%s has joined", p.id)
		err = p.part.Run(p.ctx, reg, func(ctx context.Context, slot *partition.Slot) error {
			p.run(ctx, slot, draw)
			return nil
		})
		if again = p.ctx.Err() == nil && errors.Is(err, membership.ErrSuperseded) && s.haunted(p); again {
			s.story.Tell("%s joins again: %v", p.id, err)
		} else if p.ctx.Err() == nil {
			s.t.Errorf("Run of the slots of %s: %v", p.id, err)
		}
	}
	if !p.dead.Load() {
		leaving, cancel := context.WithTimeout(context.Background(), 3*ttl)
		defer cancel()
		_ = reg.Leave(leaving)
	}
}

// haunted reports whether a process of the same ID crashed while it joined, or
// the store went back since, and it may have registered again: its entry may
// come late, and nothing tells it from that of a newer process.
func (s *simulation) haunted(p *process) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.procs, func(other *process) bool {
		return other != p && other.id == p.id && other.dead.Load() && (other.reg.Load() == nil || !s.holds(termsGrow))
	})
}

// run runs a slot for as long as it may, and writes under its guard.
func (p *process) run(ctx context.Context, slot *partition.Slot, draw func(int64) int64) {
	s := p.s
	o := s.slots[slot.Number()]
	s.mu.Lock()
	sp := o.begin(p, fmt.Sprintf("%s.%d.%d", p.id, p.serial, slot.Token()), slot.Token())
	serial := len(o.spans)
	s.mu.Unlock()
	s.story.Tell("%s runs %s", sp.by, o.what)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		sp.end = time.Now()
		s.story.Tell("%s ends %s: %v", sp.by, o.what, context.Cause(ctx))
	}()
	for i := 0; ; i++ {
		if !seeds.Pause(ctx, time.Duration(draw(int64(ttl)))) {
			if errors.Is(context.Cause(ctx), partition.ErrMoved) && draw(4) == 0 {
				seeds.Pause(slot.Drain(), time.Duration(draw(int64(3*time.Second)))) // in no hurry
			}
			return
		}
		if draw(20) == 0 && !s.calmed.Load() {
			return // had enough: is started again, and given up in the end
		}
		key := fmt.Sprintf("data/slot/%d/%s/%d-%d", slot.Number(), sp.by, serial, i)
		_, _ = p.store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}}, slot.Guard())
	}
}

// follow holds views to their order.
func (p *process) follow() {
	for v, err := range p.group.Watch(p.ctx) {
		if err != nil {
			continue
		}
		for i := 1; i < len(v.Members); i++ {
			if v.Members[i-1].ID >= v.Members[i].ID {
				p.s.t.Errorf("a view of %s is not in order, or has a member twice: %+v", p.id, v.Members)
			}
		}
	}
}
