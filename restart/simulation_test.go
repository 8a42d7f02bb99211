package restart_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/internal/seeds"
	"github.com/quorate/quorate/restart"
)

// TestSimulation runs workers that claim and save over drivers that fail at
// random, while they crash, are cut off and lose their guards. What they were
// told is held against what the store took, by a history that knows nothing of
// the protocol. A seed that fails is printed; -seed runs it again.
func TestSimulation(t *testing.T) {
	seeds.Run(t, 2000, simulate)
	t.Logf("%+v", simTotal)
	if n := simTotal; n.acked < n.seeds || n.doubt < n.seeds || n.fenced < n.seeds || n.claims < n.seeds {
		t.Errorf("too little happened to say anything: %+v", n)
	}
}

func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{
			t: t, random: rand.New(rand.NewPCG(seed, 1)), server: memory.NewServer(),
			history: &history{t: t, guards: seed%2 == 0},
		}
		for range 3 {
			s.start()
		}
		for range 12 {
			time.Sleep(time.Duration(s.random.Int64N(int64(5 * time.Second))))
			s.disaster()
		}
		s.end()
		if t.Failed() {
			t.Logf("seed %d, guarded %t:\n%s", seed, s.history.guards, strings.Join(s.history.story, "\n"))
		}
	})
}

// simulation is one run.
type simulation struct {
	t       *testing.T
	random  *rand.Rand
	server  *memory.Server
	history *history
	procs   []*simProcess
}

type simProcess struct {
	who    int
	faults *faults.Driver
	store  *backend.Store
	cancel context.CancelFunc
	done   chan struct{}
}

// watched is a driver under the faults: it sees what the store takes, and when.
type watched struct {
	*memory.Driver
	history *history
}

func (w watched) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	w.history.mu.Lock()
	defer w.history.mu.Unlock()
	result, err := w.Driver.Commit(ctx, txn)
	if err == nil && result.Applied {
		w.history.applied(txn)
	}
	return result, err
}

// start starts a process: it claims, saves a while, and claims again.
func (s *simulation) start() {
	p := &simProcess{who: len(s.procs), done: make(chan struct{})}
	s.procs = append(s.procs, p)
	p.faults = faults.Wrap(watched{memory.NewDriver(s.server), s.history})
	p.faults.Chaos(s.random.Uint64(), faults.Rates{
		Refuse: .05, LoseReply: .1, LandLater: .15, Slow: .3, MaxDelay: time.Second, MaxLate: 10 * time.Second,
	})
	var err error
	if p.store, err = backend.New(p.faults, nil); err != nil {
		s.t.Fatal(err)
	}
	c, err := restart.NewCheckpoint[string](p.store, "progress", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(s.t.Context())
	random := rand.New(rand.NewPCG(s.random.Uint64(), 2))
	go func() {
		defer close(p.done)
		for n := 0; ctx.Err() == nil; n++ {
			s.own(ctx, p, c, fmt.Sprintf("%d.%d", p.who, n), random)
			_ = pause(ctx, random, 8*time.Second)
		}
	}()
}

// own is one claim and what comes of it.
func (s *simulation) own(ctx context.Context, p *simProcess, c *restart.Checkpoint[string], owner string, random *rand.Rand) {
	var guards []backend.Guard
	if s.history.guards {
		key := "office/" + owner
		result, err := p.store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}})
		if err != nil || !result.Applied {
			return
		}
		entry := backend.Entry{Key: key, Version: result.Versions[0]}
		guards = append(guards, p.store.NewGuard(1, []backend.Entry{entry}, func(map[string]backend.Entry) bool { return true }))
	}
	claiming, cancel := s.patience(ctx, random)
	defer cancel()
	s.history.begin(owner, "")
	value, _, err := c.Claim(claiming, guards...)
	s.history.claimed(owner, value, err)
	if err != nil {
		return
	}
	for i := 0; random.IntN(8) > 0; i++ {
		if pause(ctx, random, 2*time.Second) != nil {
			return
		}
		value := fmt.Sprintf("%s.%d", owner, i)
		saving, cancel := s.patience(ctx, random)
		s.history.begin(owner, value)
		err := c.Save(saving, value)
		cancel()
		s.history.saved(owner, value, err)
		if errors.Is(err, backend.ErrFenced) && random.IntN(3) > 0 {
			return // and otherwise it tries on
		}
	}
}

// patience bounds a call: often so that it is given up half-way.
func (s *simulation) patience(ctx context.Context, random *rand.Rand) (context.Context, context.CancelFunc) {
	if random.IntN(3) == 0 {
		return context.WithTimeout(ctx, time.Duration(random.Int64N(int64(2*time.Second))))
	}
	return context.WithCancel(ctx)
}

func pause(ctx context.Context, random *rand.Rand, upTo time.Duration) error {
	timer := time.NewTimer(time.Duration(random.Int64N(int64(upTo))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (s *simulation) disaster() {
	p := s.procs[s.random.IntN(len(s.procs))]
	switch s.random.IntN(6) {
	case 0:
		s.history.tell("process %d is cut off", p.who)
		p.faults.Partition(true)
	case 1:
		s.history.tell("process %d is connected again", p.who)
		p.faults.Partition(false)
	case 2:
		s.history.tell("process %d crashes", p.who)
		p.cancel() // what it sent may still land
		s.start()
	case 3:
		s.history.tell("the store goes down")
		s.server.SetDown(true)
	case 4:
		s.history.tell("the store is up")
		s.server.SetDown(false)
	case 5:
		s.history.loseGuard(s.server)
	}
}

// end stops all, lets land what is under way and has somebody claim in peace.
func (s *simulation) end() {
	s.history.tell("all is calm")
	s.server.SetDown(false)
	for _, p := range s.procs {
		p.faults.Chaos(0, faults.Rates{})
		p.faults.Partition(false)
	}
	time.Sleep(10 * time.Second)
	for _, p := range s.procs {
		p.cancel()
		<-p.done
	}
	time.Sleep(20 * time.Second)
	for _, p := range s.procs {
		if err := p.store.Close(); err != nil {
			s.t.Errorf("Close of %d: %v", p.who, err)
		}
	}
	store, err := backend.New(watched{memory.NewDriver(s.server), s.history}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	c, err := restart.NewCheckpoint[string](store, "progress", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.history.begin("last", "")
	value, _, err := c.Claim(s.t.Context())
	s.history.claimed("last", value, err)
	if err != nil {
		s.t.Errorf("Claim in peace: %v", err)
	}
	s.history.check()
}

// history is what the workers were told and what the store took. It knows that
// a value names its owner and is saved once, and finds it in what is stored as
// any reader of JSON would; of tokens and sequence numbers it knows nothing.
type history struct {
	t      *testing.T
	guards bool // claims have guards

	mu       sync.Mutex // also orders the commits
	began    time.Time
	story    []string
	now      string            // the value that stands
	holder   string            // who made the last claim that was taken, where a guard says so
	taken    map[string]bool   // values that the store ever took
	acked    []string          // values acknowledged, in order
	saves    map[string]*span  // by value
	claims   []*span           // that succeeded, in the order of their ends
	claiming map[string]*span  // the claim that an owner began
	took     map[string]string // what stood when the store took an owner's last claim, where a guard says whose it is
	gone     map[string]bool   // owners whose guard is gone
	counts   struct{ acked, doubt, fenced, claims int }
}

// span is one call.
type span struct {
	owner      string
	start, end int // positions in the story
	applied    int // when the store took it, 0 for never
	acked      bool
	open       bool   // it may yet be taken
	before     string // of a claim: the last value acknowledged when it began
}

func (h *history) tell(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told(format, args...)
}

func (h *history) told(format string, args ...any) int {
	if h.began.IsZero() {
		h.began = time.Now()
		h.taken, h.saves = make(map[string]bool), make(map[string]*span)
		h.claiming, h.gone = make(map[string]*span), make(map[string]bool)
		h.took = make(map[string]string)
	}
	h.story = append(h.story, fmt.Sprintf("%10v  ", time.Since(h.began))+fmt.Sprintf(format, args...))
	return len(h.story)
}

// begin notes that a call begins; of a claim the value is empty.
func (h *history) begin(owner, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if value == "" {
		claim := &span{owner: owner, start: h.told("%s claims", owner)}
		if len(h.acked) > 0 {
			claim.before = h.acked[len(h.acked)-1]
		}
		h.claiming[owner] = claim
		return
	}
	h.saves[value] = &span{owner: owner, start: h.told("%s saves %s", owner, value), open: true}
}

// applied notes what the store took, and holds the rules that need no more.
func (h *history) applied(txn driver.Txn) {
	for _, op := range txn.Ops {
		if !strings.HasSuffix(op.Key, "checkpoint/progress/value") {
			continue
		}
		value := ""
		if _, rest, found := strings.Cut(string(op.Value), `"value":"`); found {
			value, _, _ = strings.Cut(rest, `"`)
		}
		at := h.told("the store takes %q", value)
		by := "" // whose commit it is, where a guard says so
		for _, c := range txn.Unchanged {
			_, by, _ = strings.Cut(c.Key, "office/")
		}
		if value == h.now {
			h.holder = by // a claim
			if by != "" {
				h.took[by] = value
				if h.claiming[by].end > 0 {
					h.t.Errorf("%s had claimed, and the store took %q from it again", by, value)
				}
			}
			continue
		}
		if h.taken[value] || value == "" {
			h.t.Errorf("%q comes back over %q", value, h.now)
		}
		save := h.saves[value]
		switch {
		case save == nil:
			h.t.Errorf("nobody saved %q", value)
			return
		case !save.open:
			h.t.Errorf("%q was taken after its owner was told that it would not be, or after a later one", value)
		case h.gone[save.owner]:
			h.t.Errorf("%q was taken without its guard", value)
		}
		for _, claim := range h.claims {
			if claim.owner != save.owner && claim.start > h.claimOf(save.owner) {
				h.t.Errorf("a stale save: %q was taken after %s had claimed", value, claim.owner)
			}
		}
		if by != "" && by != h.holder {
			h.t.Errorf("a stale save: %q was taken, and the last claim that was is of %s", value, h.holder)
		}
		h.taken[value], h.now, save.applied = true, value, at
	}
}

// claimOf returns when the owner's claim had ended, 0 if it has not.
func (h *history) claimOf(owner string) int {
	for _, claim := range h.claims {
		if claim.owner == owner {
			return claim.end
		}
	}
	return 0
}

// claimed notes what came of a claim. It returns what stood when it was taken:
// the last value acknowledged before it began, or one that the store took later.
func (h *history) claimed(owner, value string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.told("%s has claimed: %q, %v", owner, value, err)
	if err != nil {
		return
	}
	h.counts.claims++
	claim := h.claiming[owner]
	claim.end = at
	h.claims = append(h.claims, claim)
	if took, known := h.took[owner]; known && took != value {
		h.t.Errorf("the claim of %s returned %q, and was made when %q stood", owner, value, took)
	}
	if value == claim.before {
		return
	}
	save := h.saves[value]
	if save == nil || save.applied == 0 || claim.before != "" && save.applied < h.saves[claim.before].applied {
		h.t.Errorf("the claim of %s returned %q, though %q was acknowledged later, before it began", owner, value, claim.before)
	}
}

// saved notes what came of a save.
func (h *history) saved(owner, value string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	save := h.saves[value]
	save.end = h.told("%s has saved %s: %v", owner, value, err)
	switch {
	case err == nil:
		h.counts.acked++
		if save.applied == 0 {
			h.t.Errorf("%q was acknowledged, and the store never took it", value)
		}
		save.acked, save.open = true, false
		h.acked = append(h.acked, value)
		// What the owner began earlier must not be taken from now on.
		for _, other := range h.saves {
			if other.owner == owner && other.start < save.start {
				other.open = false
			}
		}
	case errors.Is(err, backend.ErrIndeterminate):
		h.counts.doubt++
	default:
		h.counts.fenced++
		save.open = false
		if save.applied != 0 {
			h.t.Errorf("%q was taken, and its owner told that it surely was not: %v", value, err)
		}
	}
}

// loseGuard deletes the guard of the present owner.
func (h *history) loseGuard(server *memory.Server) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, claim := range slices.Backward(h.claims) {
		if owner := claim.owner; !h.gone[owner] {
			if h.guards {
				h.told("%s loses its guard", owner)
				server.Delete("quorate/office/" + owner)
				h.gone[owner] = true
			}
			return
		}
	}
}

// check looks at the whole.
func (h *history) check() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for value, save := range h.saves {
		if save.acked && !h.taken[value] {
			h.t.Errorf("%q was acknowledged, and never taken", value)
		}
	}
	if h.counts.claims < 2 || len(h.saves) == 0 {
		h.t.Errorf("too little happened: %+v", h.counts)
	}
	simTotal.add(h)
}

// simTotal says at the end that the simulation was worth something.
var simTotal totals

type totals struct{ seeds, acked, doubt, fenced, claims int }

func (s *totals) add(h *history) {
	s.seeds++
	s.acked += h.counts.acked
	s.doubt += h.counts.doubt
	s.fenced += h.counts.fenced
	s.claims += h.counts.claims
}
