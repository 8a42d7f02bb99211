package election_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/internal/seeds"
)

const simMaxDelay = 2 * time.Second

// TestSimulation runs three processes that want to lead, over drivers that
// fail at random, while disasters happen to the processes and to the store. It
// knows of the library only what its users see. A seed that fails is printed;
// -seed runs it again.
func TestSimulation(t *testing.T) {
	seeds.Run(t, 2000, simulate)
}

func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{
			t: t, random: rand.New(rand.NewPCG(seed, 1)), server: memory.NewServer(),
			strict: seed%2 == 0, kinds: [...]string{"gentle", "early", "all"}[seed%3],
		}
		for range 3 {
			s.start()
		}
		for range 12 {
			time.Sleep(time.Duration(s.random.Int64N(int64(ttl))))
			s.disaster()
		}
		s.calm()
		s.recovered()
		s.stopAll()
		s.check()
		if t.Failed() {
			t.Logf("seed %d, strict %t, %s:\n%s", seed, s.strict, s.kinds, strings.Join(s.story, "\n"))
		}
	})
}

// simulation is one run. Its story is what happened, for when it fails.
type simulation struct {
	t      *testing.T
	random *rand.Rand
	server *memory.Server
	strict bool
	kinds  string // of disasters: gentle, early (the office taken away before its time), all
	procs  []*simProcess

	mu       sync.Mutex
	began    time.Time
	story    []string
	tenures  []*simTenure
	writes   []*simTenure // of the guarded writes applied, in order
	gone     map[*simTenure]bool
	snapshot *memory.Snapshot
	snapGone map[*simTenure]bool
	restored bool
}

type simProcess struct {
	who    int
	faults *faults.Driver
	store  *backend.Store
	cancel context.CancelFunc
	done   chan struct{}
}

type simTenure struct {
	who        int
	term       uint64
	start, end time.Time
}

func (s *simulation) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began.IsZero() {
		s.began = time.Now()
	}
	s.story = append(s.story, fmt.Sprintf("%10v  ", time.Since(s.began))+fmt.Sprintf(format, args...))
}

// start starts a process.
func (s *simulation) start() {
	p := &simProcess{who: len(s.procs), done: make(chan struct{})}
	p.faults = faults.Wrap(memory.NewDriver(s.server))
	p.faults.Chaos(s.random.Uint64(), faults.Rates{
		Refuse: .03, LoseReply: .03, LandLater: .05, Hollow: .05, Slow: .2,
		MaxDelay: simMaxDelay, MaxLate: 3 * ttl,
	})
	var err error
	if p.store, err = backend.New(p.faults, &backend.Options{TTL: ttl}); err != nil {
		s.t.Fatal(err)
	}
	e, err := election.New(p.store, "test", &election.Options{Strict: s.strict})
	if err != nil {
		s.t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(s.t.Context())
	random := rand.New(rand.NewPCG(s.random.Uint64(), 2))
	s.procs = append(s.procs, p)
	s.tell("process %d starts", p.who)
	go func() {
		defer close(p.done)
		for ctx.Err() == nil {
			err := e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
				return s.body(ctx, p, lead, random)
			})
			if err != nil && ctx.Err() == nil {
				s.t.Errorf("Run of %d: %v", p.who, err)
				return
			}
		}
	}()
}

// body leads for a while, and writes under its guard.
func (s *simulation) body(ctx context.Context, p *simProcess, lead *election.Leadership, random *rand.Rand) error {
	tenure := &simTenure{who: p.who, term: lead.Term(), start: time.Now()}
	s.mu.Lock()
	s.tenures = append(s.tenures, tenure)
	s.mu.Unlock()
	s.tell("process %d leads term %d", p.who, lead.Term())
	defer func() {
		s.mu.Lock()
		tenure.end = time.Now()
		s.mu.Unlock()
		s.tell("process %d ends term %d: %v", p.who, lead.Term(), context.Cause(ctx))
	}()
	for i := 0; ; i++ {
		timer := time.NewTimer(time.Duration(random.Int64N(int64(ttl))))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if random.IntN(10) == 0 {
			return nil // had enough
		}
		key := fmt.Sprintf("data/%d-%d-%d-%d", p.who, lead.Term(), i, tenure.start.UnixNano())
		_, _ = p.store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}}, lead.Guard())
		s.observeWrites(key, tenure)
	}
}

// observeWrites looks, past all faults, whether a write was applied, and holds
// it against the guards' promise: once a later tenure has written, an earlier
// one never does again.
func (s *simulation) observeWrites(key string, tenure *simTenure) {
	applied := false
	for _, entry := range s.server.Entries() {
		applied = applied || strings.HasSuffix(entry.Key, key)
	}
	if !applied {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[tenure] {
		s.t.Errorf("a guarded write of term %d of %d was applied after a later tenure's", tenure.term, tenure.who)
	}
	if n := len(s.writes); n > 0 && s.writes[n-1] != tenure {
		if s.gone == nil {
			s.gone = make(map[*simTenure]bool)
		}
		s.gone[s.writes[n-1]] = true
	}
	s.writes = append(s.writes, tenure)
}

// disaster does something bad.
func (s *simulation) disaster() {
	p := s.procs[s.random.IntN(len(s.procs))]
	n := map[string]int{"gentle": 7, "early": 9, "all": 12}[s.kinds]
	switch what := s.random.IntN(n); what {
	case 0:
		s.tell("process %d is cut off", p.who)
		p.faults.Partition(true)
	case 1:
		s.tell("process %d is connected again", p.who)
		p.faults.Partition(false)
	case 2:
		s.tell("process %d crashes", p.who)
		p.faults.Partition(true) // it is never heard of again
		p.cancel()
		s.start()
	case 3:
		s.tell("the store goes down")
		s.server.SetDown(true)
	case 4:
		s.tell("the store is up")
		s.server.SetDown(false)
	case 5:
		s.tell("watches of %d are cut", p.who)
		p.faults.CutWatches()
	case 6:
		s.tell("leases of %d expire late", p.who)
		p.faults.ExpireLate(3 * ttl)
	case 7:
		s.tell("leases of %d expire early", p.who)
		_ = p.faults.ExpireEarly(s.t.Context())
	case 8:
		for _, entry := range s.server.Entries() {
			if strings.HasPrefix(entry.Key, "quorate/election/") && s.random.IntN(3) == 0 {
				s.tell("%s is deleted by hand", entry.Key)
				s.server.Delete(entry.Key)
				break
			}
		}
	case 9:
		s.tell("the store is wiped")
		s.server.Wipe()
	case 10:
		s.tell("a backup is taken")
		s.mu.Lock()
		s.snapshot, s.snapGone = s.server.Snapshot(), clone(s.gone)
		s.mu.Unlock()
	case 11:
		if s.snapshot != nil {
			s.tell("the backup is restored")
			s.mu.Lock()
			s.restored = true
			s.gone, s.writes = clone(s.snapGone), nil
			s.server.Restore(s.snapshot)
			s.mu.Unlock()
		}
	}
}

func clone(m map[*simTenure]bool) map[*simTenure]bool {
	c := make(map[*simTenure]bool, len(m))
	maps.Copy(c, m)
	return c
}

// calm ends all faults.
func (s *simulation) calm() {
	s.tell("all faults end")
	s.server.SetDown(false)
	for _, p := range s.procs {
		p.faults.Chaos(0, faults.Rates{})
		p.faults.ExpireLate(0)
		p.faults.Partition(false)
	}
}

// recovered checks that somebody leads again, soon enough.
func (s *simulation) recovered() {
	// What was sent may still land, a lease that expires late may still hold,
	// and with Strict each of them costs another TTL.
	patience := 3*ttl + 3*ttl + ttl + 2*time.Second
	if s.strict {
		patience += 3 * ttl
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		office := 0
		for _, entry := range s.server.Entries() {
			if strings.HasSuffix(entry.Key, "/tenure/leader") {
				office++
			}
		}
		s.mu.Lock()
		alive := 0
		for _, tenure := range s.tenures {
			if tenure.end.IsZero() {
				alive++
			}
		}
		s.mu.Unlock()
		if office == 1 && alive == 1 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%v after the last fault %d lead and there are %d offices", patience, alive, office)
			return
		}
	}
}

// stopAll ends the processes and checks that they leave nothing.
func (s *simulation) stopAll() {
	for _, p := range s.procs {
		p.cancel()
		<-p.done
	}
	for _, p := range s.procs {
		if err := p.store.Close(); err != nil {
			s.t.Errorf("Close of %d: %v", p.who, err)
		}
	}
	time.Sleep(ttl + time.Second) // sessions of lost replies
	marks := 0
	for _, entry := range s.server.Entries() {
		if entry.Lease != "" {
			s.t.Errorf("%s is left", entry.Key)
		}
		if strings.Contains(entry.Key, "/tenure/") {
			marks++
		}
	}
	if marks > 8 { // two, and what landed late
		s.t.Errorf("%d marks are left", marks)
	}
}

// check looks at who led when.
func (s *simulation) check() {
	var allowed time.Duration
	switch {
	case s.kinds == "gentle", s.kinds == "early" && s.strict:
	default:
		// A notification: a watch that failed begins again, and is slow.
		allowed = 4*simMaxDelay + 3*time.Second
	}
	for i, later := range s.tenures {
		for _, earlier := range s.tenures[:i] {
			if overlap := overlap(earlier, later); overlap > allowed {
				s.t.Errorf("term %d of %d and term %d of %d overlap by %v, allowed is %v", earlier.term, earlier.who, later.term, later.who, overlap, allowed)
			}
			if s.kinds == "gentle" && later.term <= earlier.term {
				s.t.Errorf("term %d of %d came after term %d of %d", later.term, later.who, earlier.term, earlier.who)
			}
		}
	}
	if len(s.tenures) == 0 {
		s.t.Error("nobody ever led")
	}
}

// overlap returns for how long both led.
func overlap(a, b *simTenure) time.Duration {
	began, ended := a.start, a.end
	if b.start.After(began) {
		began = b.start
	}
	if b.end.Before(ended) {
		ended = b.end
	}
	return ended.Sub(began)
}
