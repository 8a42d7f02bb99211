package partition_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

const ttl = 10 * time.Second

// scene is a store with processes that share slots.
type scene struct {
	t      *testing.T
	server *memory.Server
	opts   partition.Options
	store  *backend.Options // of processes that are opened, nil for the usual ones

	mu      sync.Mutex
	spans   []*span
	overlap bool // is allowed
}

// span is one time that a body ran.
type span struct {
	who        string
	slot       *partition.Slot
	start, end time.Time
	cause      error
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, opts partition.Options, test func(s *scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, server: memory.NewServer(), opts: opts}
		test(s)
		s.check()
	})
}

// process is a process of its own.
type process struct {
	*scene
	id     string
	driver *memory.Driver
	faults *faults.Driver
	store  *backend.Store
	group  *membership.Group
	reg    *membership.Registration
	part   *partition.Partition
	cancel context.CancelFunc
	done   chan error
	ended  chan struct{}
	values context.Context // that Run's has, nil for none
	// work is what a body does until its context ends, nil for nothing.
	work func(ctx context.Context, slot *partition.Slot) error
}

func (s *scene) open(id string) *process {
	s.t.Helper()
	p := &process{scene: s, id: id, driver: memory.NewDriver(s.server)}
	p.faults = faults.Wrap(p.driver)
	var err error
	opts := &backend.Options{}
	if s.store != nil {
		*opts = *s.store
	}
	opts.TTL = ttl
	if testing.Verbose() && opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(s.t.Output(), nil)).With("process", id)
	}
	if p.store, err = backend.New(p.faults, opts); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		p.driver.Heal()
		if p.cancel != nil {
			p.cancel()
			<-p.ended
		}
		_ = p.store.Close()
	})
	if p.group, err = membership.New(p.store, "g", nil); err != nil {
		s.t.Fatal(err)
	}
	if p.part, err = partition.New(p.group, "p", &s.opts); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// start starts a process that runs slots.
func (s *scene) start(id string) *process {
	s.t.Helper()
	p := s.open(id)
	p.run()
	return p
}

func (p *process) run() {
	p.t.Helper()
	var err error
	if p.reg == nil {
		if p.reg, err = p.group.Join(p.t.Context(), membership.Member{ID: p.id}); err != nil {
			p.t.Fatalf("Join of %s: %v", p.id, err)
		}
	}
	var ctx context.Context
	if p.values == nil {
		p.values = p.t.Context()
	}
	ctx, p.cancel = context.WithCancel(p.values)
	p.done, p.ended = make(chan error, 1), make(chan struct{})
	go func() {
		defer close(p.ended)
		p.done <- p.part.Run(ctx, p.reg, p.body)
	}()
}

func (p *process) body(ctx context.Context, slot *partition.Slot) error {
	sp := &span{who: p.id, slot: slot, start: time.Now()}
	p.mu.Lock()
	p.spans = append(p.spans, sp)
	p.mu.Unlock()
	var err error
	if p.work != nil {
		err = p.work(ctx, slot)
	} else {
		<-ctx.Done()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	sp.end, sp.cause = time.Now(), context.Cause(ctx)
	return err
}

// stop ends Run and the membership.
func (p *process) stop() {
	p.t.Helper()
	p.end()
	if err := p.reg.Leave(p.t.Context()); err != nil {
		p.t.Errorf("Leave of %s: %v", p.id, err)
	}
}

func (p *process) end() {
	p.t.Helper()
	p.cancel()
	if err := <-p.done; !errors.Is(err, context.Canceled) {
		p.t.Errorf("Run of %s: %v", p.id, err)
	}
}

// crash makes a process fall silent for good.
func (p *process) crash() { p.driver.Silence() }

// owners returns who runs each slot now.
func (s *scene) owners() map[int][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	owners := make(map[int][]string)
	for _, sp := range s.spans {
		if sp.end.IsZero() {
			owners[sp.slot.Number()] = append(owners[sp.slot.Number()], sp.who)
		}
	}
	return owners
}

// shares says how many slots each of the processes runs, and fails unless each
// slot is run once.
func (s *scene) shares() string {
	s.t.Helper()
	count := make(map[string]int)
	owners := s.owners()
	for k := range s.slots() {
		if len(owners[k]) != 1 {
			s.t.Errorf("%v: slot %d is run by %q", time.Now(), k, owners[k])
		}
		for _, who := range owners[k] {
			count[who]++
		}
	}
	var all []string
	for who, n := range count {
		all = append(all, fmt.Sprintf("%s:%d", who, n))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (s *scene) slots() int {
	if s.opts.Slots == 0 {
		return partition.DefaultSlots
	}
	return s.opts.Slots
}

func (s *scene) wantShares(when, want string) {
	s.t.Helper()
	synctest.Wait()
	if got := s.shares(); got != want {
		s.t.Errorf("%s the shares are %q, want %q", when, got, want)
	}
}

// check looks at who ran what when.
func (s *scene) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, b := range s.spans {
		for _, a := range s.spans[:i] {
			if a.slot.Number() != b.slot.Number() || s.overlap {
				continue
			}
			if a.end.IsZero() || a.end.After(b.start) {
				s.t.Errorf("slot %d: %s began with token %d while %s had token %d", b.slot.Number(), b.who, b.slot.Token(), a.who, a.slot.Token())
			}
			if b.slot.Token() < a.slot.Token() || b.slot.Token() == a.slot.Token() && a.who != b.who {
				s.t.Errorf("slot %d: token %d of %s came after token %d of %s", b.slot.Number(), b.slot.Token(), b.who, a.slot.Token(), a.who)
			}
		}
	}
}

// moved counts the times that a slot began, since a moment.
func (s *scene) began(since time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range s.spans {
		if !sp.start.Before(since) {
			n++
		}
	}
	return n
}

func keysIn(server *memory.Server, part string) (keys []string) {
	for _, e := range server.Entries() {
		if strings.Contains(e.Key, part) {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

func TestSlotsSpreadAndMove(t *testing.T) {
	bubble(t, partition.Options{Slots: 12}, func(s *scene) {
		a := s.start("a")
		time.Sleep(2 * time.Second)
		s.wantShares("alone", "a:12")
		b := s.start("b")
		time.Sleep(2 * time.Second)
		s.wantShares("with two", "a:6 b:6")
		before := time.Now()
		c := s.start("c")
		time.Sleep(2 * time.Second)
		s.wantShares("with three", "a:4 b:4 c:4")
		if n := s.began(before); n != 4 {
			s.t.Errorf("%d slots moved when the third came, want 4", n)
		}
		before = time.Now()
		a.stop()
		synctest.Wait()
		s.wantShares("after one has left, at once", "b:6 c:6")
		if n := s.began(before); n != 4 {
			s.t.Errorf("%d slots moved when one left, want 4", n)
		}
		b.crash()
		time.Sleep(ttl + ttl/10 + 2*time.Second)
		s.wantShares("after a crash", "c:12")
		c.stop()
		if left := keysIn(s.server, "/claims/"); len(left) != 0 {
			s.t.Errorf("claims are left: %q", left)
		}
		if marks := keysIn(s.server, "/line/"); len(marks) != 1 {
			s.t.Errorf("marks: %q", marks)
		}
	})
}

func TestOwner(t *testing.T) {
	bubble(t, partition.Options{Slots: 8}, func(s *scene) {
		router := s.open("router")
		if m, ok := router.part.Owner("k"); ok {
			s.t.Errorf("at first the owner is %v", m)
		}
		s.start("a")
		s.start("b")
		time.Sleep(3 * time.Second)
		for i := range 100 {
			key := fmt.Sprint("key-", i)
			m, ok := router.part.Owner(key)
			if !ok || m.ID != s.owners()[router.part.Slot(key)][0] {
				s.t.Errorf("the owner of %s is said to be %q, %t; it is %q", key, m.ID, ok, s.owners()[router.part.Slot(key)])
			}
		}
		router.part.Close()
		router.part.Close()
	})
}
