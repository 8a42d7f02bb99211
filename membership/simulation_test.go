package membership_test

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
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/internal/seeds"
	"github.com/quorate/quorate/membership"
)

// TestSimulation runs a few processes that are members of a group, while
// disasters happen to them and to the store, in three kinds: "outage", in which
// the store goes away and comes back, and processes crash, restart, join and
// leave; "faults", in which their drivers also fail at random, and "all", in
// which the store also loses data. It knows of the library only what its users
// see. A seed that fails is printed; -seed runs it again.
//
// What must hold: once all is quiet every view shows exactly those who live, as
// the incarnation that they are, and the store has one entry for each and
// nothing else. In "outage" no view ever loses a member that lives.
func TestSimulation(t *testing.T) {
	seeds.Run(t, 300, simulate)
}

func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{
			t: t, random: rand.New(rand.NewPCG(seed, 7)), server: memory.NewServer(),
			kind: [...]string{"outage", "faults", "all"}[seed%3], alive: make(map[string]*simMember), dead: make(map[string]bool),
		}
		s.began = time.Now()
		if s.kind == "all" {
			age(t, s.server)
		}
		for i := range 5 {
			s.start(fmt.Sprintf("m%d", i))
		}
		time.Sleep(2 * ttl)
		for range 10 {
			time.Sleep(time.Duration(s.random.Int64N(int64(ttl))))
			s.disaster()
		}
		s.calm()
		s.settled()
		s.stop()
		if t.Failed() {
			t.Logf("seed %d, %s:\n%s", seed, s.kind, strings.Join(s.story, "\n"))
		}
	})
}

type simulation struct {
	t      *testing.T
	random *rand.Rand
	server *memory.Server
	kind   string
	began  time.Time
	backup *memory.Snapshot
	procs  []*simMember

	mu    sync.Mutex
	story []string
	alive map[string]*simMember // by ID
	dead  map[string]bool       // incarnations that crashed, left, or were superseded
}

// simMember is a process with one membership.
type simMember struct {
	id      string
	faults  *faults.Driver
	store   *backend.Store
	group   *membership.Group
	reg     atomic.Pointer[membership.Registration] // nil until it has joined
	joined  chan struct{}
	crashed bool
	stop    context.CancelFunc
	done    sync.WaitGroup
}

func (s *simulation) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story = append(s.story, fmt.Sprintf("%10v  ", time.Since(s.began))+fmt.Sprintf(format, args...))
}

// start starts a process that joins as id, whoever has that before.
func (s *simulation) start(id string) *simMember {
	m := &simMember{id: id, joined: make(chan struct{}), faults: faults.Wrap(memory.NewDriver(s.server))}
	if s.kind != "outage" {
		m.faults.Chaos(s.random.Uint64(), faults.Rates{
			Refuse: .03, LoseReply: .05, LandLater: .05, Hollow: .03, Slow: .2,
			MaxDelay: 2 * time.Second, MaxLate: 3 * ttl,
		})
	}
	var err error
	if m.store, err = backend.New(m.faults, &backend.Options{TTL: ttl}); err != nil {
		s.t.Fatal(err)
	}
	if m.group, err = membership.New(m.store, "g", nil); err != nil {
		s.t.Fatal(err)
	}
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	s.mu.Lock()
	s.alive[id] = m
	s.procs = append(s.procs, m)
	s.mu.Unlock()
	m.done.Go(func() {
		reg, err := m.group.Join(ctx, membership.Member{ID: id})
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, membership.ErrSuperseded) {
				s.t.Errorf("Join of %s: %v", id, err)
			}
			return
		}
		s.mu.Lock()
		m.reg.Store(reg)
		if m.crashed {
			s.dead[reg.Incarnation()] = true
		}
		s.mu.Unlock()
		close(m.joined)
		s.tell("%s has joined as %s", id, reg.Incarnation())
	})
	m.done.Go(func() {
		for v, err := range m.group.Watch(ctx) {
			if err == nil {
				s.observe(m, v)
			}
		}
	})
	return m
}

// observe holds a view against who lives.
func (s *simulation) observe(by *simMember, v membership.View) {
	for i, m := range v.Members {
		if i > 0 && v.Members[i-1].ID >= m.ID {
			s.t.Errorf("a view is not in order: %s", ids(v))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kind != "outage" || by.crashed {
		return
	}
	for _, m := range v.Change.Removed {
		if living := s.alive[m.ID]; !s.dead[m.Incarnation] && living != nil && living.reg.Load() != nil {
			s.t.Errorf("%v: the view of %s lost %s, which lives", time.Since(s.began), by.id, m.ID)
		}
	}
}

func (s *simulation) any() *simMember {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for id := range s.alive {
		all = append(all, id)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return nil
	}
	return s.alive[all[s.random.IntN(len(all))]]
}

// ends takes note that a process is no member any more.
func (s *simulation) ends(m *simMember, crashed bool) {
	if crashed { // with an older one that has not heard of it: it would have the ID again
		for _, other := range s.procs {
			if other != m && other.id == m.id && !other.crashed {
				other.faults.Partition(true)
				s.end(other, true)
			}
		}
	}
	s.end(m, crashed)
}

func (s *simulation) end(m *simMember, crashed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.crashed = crashed
	if s.alive[m.id] == m {
		delete(s.alive, m.id)
	}
	if m.reg.Load() != nil {
		s.dead[m.reg.Load().Incarnation()] = true
	}
	if crashed { // and ends, once nothing that it sent can land any more
		m.done.Go(func() {
			time.Sleep(4 * ttl)
			m.stop()
			_ = m.store.Close()
		})
	}
}

func (s *simulation) disaster() {
	n := map[string]int{"outage": 6, "faults": 10, "all": 14}[s.kind]
	m := s.any()
	what := s.random.IntN(n)
	if m == nil {
		what = 5
	}
	switch what {
	case 0:
		s.tell("the store goes down")
		s.server.SetDown(true)
	case 1:
		s.tell("the store is up")
		s.server.SetDown(false)
	case 2:
		s.tell("%s crashes", m.id)
		s.ends(m, true)
		m.faults.Partition(true) // it is never heard of again
	case 3:
		s.tell("%s crashes and starts again", m.id)
		s.ends(m, true)
		m.faults.Partition(true)
		s.start(m.id)
	case 4:
		if m.reg.Load() == nil {
			return
		}
		s.tell("%s leaves", m.id)
		s.ends(m, false)
		m.done.Go(func() {
			if err := m.reg.Load().Leave(context.Background()); err != nil {
				s.t.Errorf("Leave of %s: %v", m.id, err)
			}
		})
	case 5:
		id := fmt.Sprintf("n%d", len(s.procs))
		s.tell("%s starts", id)
		s.start(id)
	case 6:
		s.tell("%s is cut off", m.id)
		m.faults.Partition(true)
	case 7:
		s.tell("%s is connected again", m.id)
		m.faults.Partition(false)
	case 8:
		s.tell("watches of %s are cut", m.id)
		m.faults.CutWatches()
	case 9:
		// Across a wipe it is not always known which of two is the newer: see the
		// package's documentation.
		if m.reg.Load() == nil || s.kind == "all" {
			return
		}
		s.tell("%s starts twice", m.id)
		second := s.start(m.id)
		select { // until it has joined it has taken nothing
		case <-second.joined:
			s.ends(m, false)
		case <-time.After(3 * ttl):
			s.end(second, true)
			second.faults.Partition(true)
			s.mu.Lock()
			if second.reg.Load() == nil {
				s.alive[m.id] = m
			} else {
				s.dead[m.reg.Load().Incarnation()] = true
			}
			s.mu.Unlock()
		}
	case 10:
		s.tell("the leases of %s are ended", m.id)
		_ = m.faults.ExpireEarly(context.Background())
	case 11:
		for _, e := range s.server.Entries() {
			if s.random.IntN(4) == 0 {
				s.tell("%s is deleted by hand", e.Key)
				s.server.Delete(e.Key)
			}
		}
	case 12:
		s.tell("the store is wiped")
		s.server.Wipe()
	case 13:
		if s.backup == nil {
			s.tell("a backup is taken")
			s.backup = s.server.Snapshot()
			return
		}
		s.tell("the backup is restored")
		s.server.Restore(s.backup)
	}
}

// calm ends all faults, save that who crashed stays away.
func (s *simulation) calm() {
	s.tell("all faults end")
	s.server.SetDown(false)
	for _, m := range s.procs {
		m.faults.Chaos(0, faults.Rates{})
		if !m.crashed {
			m.faults.Partition(false)
		}
	}
}

// settled checks what must be once all is quiet.
func (s *simulation) settled() {
	// What was sent lands within three TTLs, the next session is there within
	// half a TTL and a registration within another, what has vanished is held
	// for two, and marks are kept for two minutes, or four.
	time.Sleep(8 * ttl)
	synctest.Wait()
	s.compare("when all is quiet")
	time.Sleep(6 * time.Minute)
	synctest.Wait()
	s.compare("long after")
	if len(s.alive) > 0 {
		var want []string
		for id := range s.alive {
			want = append(want, id)
		}
		slices.Sort(want)
		wantKeys(s.t, "long after", s.server, want...)
	}
}

func (s *simulation) compare(when string) {
	for _, m := range s.procs {
		if m.crashed {
			continue
		}
		v := m.group.View()
		if v.Stale || v.Held() > 0 {
			s.t.Errorf("%s the view of %s is stale %t, aged %v, and holds %d", when, m.id, v.Stale, v.Age, v.Held())
		}
		if len(v.Members) != len(s.alive) {
			s.t.Errorf("%s %s sees %q, %d live", when, m.id, ids(v), len(s.alive))
		}
		for _, seen := range v.Members {
			living := s.alive[seen.ID]
			if living == nil || living.reg.Load() == nil || living.reg.Load().Incarnation() != seen.Incarnation {
				s.t.Errorf("%s %s sees %s as %s, which does not live", when, m.id, seen.ID, seen.Incarnation)
			}
		}
	}
	for id, m := range s.alive {
		if m.reg.Load() == nil || m.reg.Load().Context().Err() != nil {
			s.t.Errorf("%s %s is no member: %v", when, id, m.cause())
		}
	}
	for _, m := range s.procs {
		if !m.crashed && s.alive[m.id] != m && m.reg.Load() != nil && m.reg.Load().Context().Err() == nil {
			s.t.Errorf("%s a former %s believes to be a member", when, m.id)
		}
	}
}

func (s *simulation) stop() {
	for _, m := range s.procs {
		m.stop()
		if !m.crashed {
			m.faults.Partition(false)
			_ = m.store.Close()
		}
		m.done.Wait()
	}
	time.Sleep(ttl + time.Second) // sessions of lost replies
	for _, e := range s.server.Entries() {
		if e.Lease != "" {
			s.t.Errorf("%s is left", e.Key)
		}
	}
}

func (m *simMember) cause() error {
	if m.reg.Load() == nil {
		return errors.New("it has not joined")
	}
	return context.Cause(m.reg.Load().Context())
}
