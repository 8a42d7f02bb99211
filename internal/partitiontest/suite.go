// Package partitiontest is the test suite of package partition that runs on
// every store: the scenarios hold for any driver that passes drivertest, whose
// environment they use.
package partitiontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// Scenario is one test.
type Scenario struct {
	Name string
	Run  func(t *testing.T, env *drivertest.Env)
}

// Scenarios returns all tests.
func Scenarios() []Scenario {
	return []Scenario{
		{"spread-and-leave", spreadAndLeave},
		{"silenced-member", silencedMember},
		{"guard-refuses-once-claimed", guardRefuses},
		{"guard-of-a-late-write", guardOfALateWrite},
		{"guard-through-moves", guardThroughMoves},
		{"keys-deleted-by-hand", keysDeletedByHand},
		{"keys-deleted-by-hand-strict", keysDeletedByHandStrict},
		{"looked-up-from-outside", lookedUpFromOutside},
		{"restored", restored},
		{"large-plan", largePlan},
	}
}

// Run runs all tests in real time, each in an environment of its own.
func Run(t *testing.T, factory drivertest.Factory) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, factory(t)) })
	}
}

const (
	// slack is what a busy machine may add to anything.
	slack = 3 * time.Second
	// notification bounds how long two may run a slot after early revocation.
	notification = 2 * time.Second
)

// field is some processes that share slots.
type field struct {
	env  *drivertest.Env
	opts partition.Options
	ttl  time.Duration

	mu      sync.Mutex
	spans   []*span
	count   map[string]int // slots that each process runs now
	running map[int]int    // how many run a slot now
	twice   map[int]bool   // slots that more than one runs now
}

// span is one time that a body ran.
type span struct {
	who        string
	slot       *partition.Slot
	start, end time.Time
}

// process is one of them.
type process struct {
	id     string
	driver driver.Driver
	store  *backend.Store
	reg    *membership.Registration
	cancel context.CancelFunc
	done   chan struct{}
}

// newField returns processes with the TTL of env, which is short.
func newField(env *drivertest.Env, opts partition.Options) *field {
	return &field{
		env: env, opts: opts, ttl: env.TTL,
		count: make(map[string]int), running: make(map[int]int), twice: make(map[int]bool),
	}
}

// newCalmField returns processes whose sessions outlast what a busy machine does
// to them: for where nothing is to expire, and what moves is counted.
func newCalmField(env *drivertest.Env, opts partition.Options) *field {
	f := newField(env, opts)
	f.ttl = max(env.TTL, 10*time.Second)
	return f
}

func (f *field) open(t testing.TB) (driver.Driver, *backend.Store) {
	t.Helper()
	d := f.env.Open(t)
	store, err := backend.New(d, &backend.Options{
		Namespace: f.env.Prefix, TTL: f.ttl, CallTimeout: 3 * time.Second, CloseTimeout: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d, store
}

func (f *field) start(t testing.TB, id string) *process {
	t.Helper()
	p := &process{id: id, done: make(chan struct{})}
	p.driver, p.store = f.open(t)
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	started := false
	t.Cleanup(func() {
		f.env.Heal(t, p.driver)
		p.cancel()
		if started {
			<-p.done
		}
		_ = p.store.Close()
	})
	group, err := membership.New(p.store, "g", nil)
	if err != nil {
		t.Fatal(err)
	}
	part, err := partition.New(group, "p", &f.opts)
	if err != nil {
		t.Fatal(err)
	}
	if p.reg, err = group.Join(t.Context(), membership.Member{ID: id}); err != nil {
		t.Fatal(err)
	}
	started = true
	go func() {
		defer close(p.done)
		err := part.Run(ctx, p.reg, func(ctx context.Context, slot *partition.Slot) error {
			s := f.begin(id, slot)
			<-ctx.Done()
			f.end(s)
			return nil
		})
		if ctx.Err() == nil {
			t.Errorf("Run of %s: %v", id, err)
		}
	}()
	return p
}

// leave ends Run and the membership.
func (p *process) leave(t testing.TB) {
	t.Helper()
	p.cancel()
	<-p.done
	if err := p.reg.Leave(t.Context()); err != nil {
		t.Errorf("Leave of %s: %v", p.id, err)
	}
}

// begin and end are the two ends of a body. They count, so that to look at the
// shares costs little however many slots there are.
func (f *field) begin(who string, slot *partition.Slot) *span {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &span{who: who, slot: slot, start: time.Now()}
	f.spans = append(f.spans, s)
	f.runs(s, 1)
	return s
}

func (f *field) end(s *span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.end = time.Now()
	f.runs(s, -1)
}

func (f *field) runs(s *span, n int) {
	k := s.slot.Number()
	f.count[s.who] += n
	f.running[k] += n
	if f.running[k] > 1 {
		f.twice[k] = true
	} else {
		delete(f.twice, k)
	}
}

// shares says how many slots each process runs, and which slots more than one.
func (f *field) shares() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, who := range slices.Sorted(maps.Keys(f.count)) {
		if n := f.count[who]; n > 0 {
			all = append(all, fmt.Sprintf("%s:%d", who, n))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(f.twice)) {
		all = append(all, fmt.Sprintf("slot %d is run %d times", k, f.running[k]))
	}
	return strings.Join(all, " ")
}

// reaches waits until the shares are as wanted.
func (f *field) reaches(t testing.TB, d time.Duration, want string) {
	t.Helper()
	eventually(t, d, "the shares are "+want, func() error {
		if got := f.shares(); got != want {
			return fmt.Errorf("they are %q", got)
		}
		return nil
	})
}

// eventually waits until check returns nil, at most d and some slack.
func eventually(t testing.TB, d time.Duration, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(d + slack)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", d, what, err)
		}
		<-tick.C
	}
}

// finish checks that no two ran a slot for longer than allowed, and that tokens
// grew.
func (f *field) finish(t testing.TB, allowed time.Duration) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, b := range f.spans {
		for _, a := range f.spans[:i] {
			if a.slot.Number() != b.slot.Number() {
				continue
			}
			end := a.end
			if end.IsZero() {
				end = time.Now()
			}
			if overlap := end.Sub(b.start); overlap > allowed {
				t.Errorf("slot %d: token %d of %s and token %d of %s overlap by %v, allowed is %v", a.slot.Number(), a.slot.Token(), a.who, b.slot.Token(), b.who, overlap, allowed)
			}
			if b.slot.Token() < a.slot.Token() || b.slot.Token() == a.slot.Token() && a.who != b.who {
				t.Errorf("slot %d: token %d of %s came after token %d of %s", a.slot.Number(), b.slot.Token(), b.who, a.slot.Token(), a.who)
			}
		}
	}
}

// gaps returns how long slots were run by nobody between two spans, since a
// moment.
func (f *field) gaps(since time.Time) (gaps []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := make(map[int]*span)
	for _, b := range f.spans {
		if a := last[b.slot.Number()]; a != nil && !b.start.Before(since) {
			gaps = append(gaps, b.start.Sub(a.end))
		}
		last[b.slot.Number()] = b
	}
	slices.Sort(gaps)
	return gaps
}

// wantFenced fails unless err says that a guard refused.
func wantFenced(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, backend.ErrFenced) {
		t.Errorf("%s: %v, want ErrFenced", what, err)
	}
}
