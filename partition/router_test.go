package partition_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/partition"
)

// router opens a process that is no member.
func (s *scene) router() (*process, *partition.Router) {
	s.t.Helper()
	p := s.open("caller")
	r, err := partition.NewRouter(p.store, "p")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = r.Close() })
	return p, r
}

// wantOwners fails unless the router names the running slot of each key.
func (s *scene) wantOwners(r *partition.Router) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	running := make(map[int]*span)
	for _, sp := range s.spans {
		if sp.end.IsZero() {
			running[sp.slot.Number()] = sp
		}
	}
	for i := range 100 {
		key := fmt.Sprint("key-", i)
		owner, ok := r.Owner(key)
		sp := running[partition.SlotOf(key, s.slots())]
		if !ok || owner.Slot != sp.slot.Number() || owner.Token != sp.slot.Token() || owner.Member.ID != sp.who {
			s.t.Errorf("the owner of %s is said to be %+v, %t; it is %s with token %d", key, owner, ok, sp.who, sp.slot.Token())
		}
	}
}

func TestRouter(t *testing.T) {
	// Catches: a token of another plan, an owner who left, a Router that needs
	// what only the plan's members know.
	bubble(t, partition.Options{Slots: 8}, func(s *scene) {
		_, r := s.router()
		if owner, ok := r.Owner("k"); ok || r.Age() != math.MaxInt64 {
			s.t.Errorf("without a plan the owner is %+v, of age %v", owner, r.Age())
		}
		a := s.start("a/1")
		if err := r.Wait(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		s.wantOwners(r)
		first, _ := r.Owner("k")
		owners, changed := r.Owners()
		if len(owners) != 1 || owners[0].ID != "a/1" {
			s.t.Errorf("the owners are %+v", owners)
		}
		s.start("b")
		<-changed
		time.Sleep(2 * time.Second)
		s.wantOwners(r)
		if owners, _ := r.Owners(); len(owners) != 2 {
			s.t.Errorf("the owners are %+v", owners)
		}
		a.stop()
		next, err := r.Await(s.t.Context(), "k", first)
		if err != nil || next.Member.ID != "b" || next.Token <= first.Token && first.Member.ID != "b" {
			s.t.Errorf("after %+v: %+v, %v", first, next, err)
		}
		time.Sleep(2 * time.Second)
		s.wantOwners(r)
		if age := r.Age(); age > ttl {
			s.t.Errorf("the answers are said to be %v old", age)
		}
	})
}

func TestRouterWithoutTheStore(t *testing.T) {
	// Catches: answers that vanish in an outage, an age that does not grow, a
	// Router that does not return to the store.
	bubble(t, partition.Options{Slots: 8}, func(s *scene) {
		caller, r := s.router()
		s.start("a")
		time.Sleep(2 * time.Second)
		s.wantOwners(r)
		caller.driver.Silence()
		time.Sleep(time.Minute)
		s.wantOwners(r)
		if age := r.Age(); age < time.Minute-ttl {
			s.t.Errorf("after a minute without the store the answers are said to be %v old", age)
		}
		owner, _ := r.Owner("k")
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		if other, err := r.Await(ctx, "k", owner); !errors.Is(err, backend.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			s.t.Errorf("Await in an outage: %+v, %v", other, err)
		}
		caller.driver.Heal()
		s.start("b")
		time.Sleep(ttl + 5*time.Second)
		s.wantOwners(r)
		if age := r.Age(); age > ttl {
			s.t.Errorf("after the outage the answers are said to be %v old", age)
		}
	})
}

// refusing is a driver that has no right to watch plans while denied is set.
type refusing struct {
	driver.Driver
	denied atomic.Bool
	cut    atomic.Pointer[context.CancelFunc] // ends the watch of the plan that is up
}

func (r *refusing) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if !strings.HasSuffix(target.Path, "/plan") {
		return r.Driver.Watch(ctx, target, changed)
	}
	if r.denied.Load() {
		return driver.ErrDenied
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.cut.Store(&cancel)
	err := r.Driver.Watch(ctx, target, changed)
	if r.denied.Load() {
		return driver.ErrDenied
	}
	return err
}

func TestRouterDenied(t *testing.T) {
	// Catches: a refusal that is waited out in silence, one that ends the Router,
	// answers that pass for fresh while the watch is refused again and again.
	bubble(t, partition.Options{Slots: 8}, func(s *scene) {
		d := &refusing{Driver: memory.NewDriver(s.server)}
		d.denied.Store(true)
		store, err := backend.New(d, &backend.Options{TTL: ttl})
		if err != nil {
			s.t.Fatal(err)
		}
		defer store.Close()
		r, err := partition.NewRouter(store, "p")
		if err != nil {
			s.t.Fatal(err)
		}
		defer r.Close()
		if err := r.Wait(s.t.Context()); !errors.Is(err, backend.ErrDenied) {
			s.t.Errorf("Wait: %v, want ErrDenied", err)
		}
		if _, err := r.Await(s.t.Context(), "k", partition.Owner{}); !errors.Is(err, backend.ErrDenied) {
			s.t.Errorf("Await: %v, want ErrDenied", err)
		}
		d.denied.Store(false)
		s.start("a")
		time.Sleep(10 * time.Second)
		if err := r.Wait(s.t.Context()); err != nil {
			s.t.Errorf("Wait after the rights were given: %v", err)
		}
		s.wantOwners(r)
		d.denied.Store(true)
		(*d.cut.Load())()
		time.Sleep(time.Minute)
		s.wantOwners(r)
		if age := r.Age(); age < time.Minute {
			s.t.Errorf("a minute after the rights were taken the answers are said to be %v old", age)
		}
		owner, _ := r.Owner("k")
		if _, err := r.Await(s.t.Context(), "k", owner); !errors.Is(err, backend.ErrDenied) {
			s.t.Errorf("Await after the rights were taken: %v, want ErrDenied", err)
		}
	})
}

func TestRouterOfAnUnreadablePlan(t *testing.T) {
	bubble(t, partition.Options{Slots: 8}, func(s *scene) {
		_, r := s.router()
		a := s.start("a")
		time.Sleep(2 * time.Second)
		s.wantOwners(r)
		key, err := backend.Path(backend.KindPartition, "p", "plan")
		if err != nil {
			s.t.Fatal(err)
		}
		entry, _, err := a.store.Get(s.t.Context(), key)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := a.store.Commit(s.t.Context(), driver.Txn{Ops: []driver.Op{driver.Put(key, []byte(`{"format":99}`), entry.Version)}}); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if owner, ok := r.Owner("k"); !ok || owner.Member.ID != "a" {
			s.t.Errorf("the owner is %+v, %t", owner, ok)
		}
		if age := r.Age(); age < time.Minute {
			s.t.Errorf("the answers are said to be %v old", age)
		}
	})
}

func TestRouterEnds(t *testing.T) {
	bubble(t, partition.Options{Slots: 8}, func(s *scene) {
		caller, r := s.router()
		s.start("a")
		time.Sleep(2 * time.Second)
		owner, _ := r.Owner("k")
		_, closed := s.router()
		closed.Close()
		closed.Close()
		if err := closed.Wait(s.t.Context()); !errors.Is(err, backend.ErrClosed) {
			s.t.Errorf("Wait of a closed Router: %v", err)
		}
		_ = caller.store.Close()
		if _, err := r.Await(s.t.Context(), "k", owner); !errors.Is(err, backend.ErrClosed) {
			s.t.Errorf("Await after the Store was closed: %v", err)
		}
		if _, err := partition.NewRouter(caller.store, "p"); !errors.Is(err, backend.ErrClosed) {
			s.t.Errorf("NewRouter after the Store was closed: %v", err)
		}
		for _, name := range []string{"", string(make([]byte, 101))} {
			if _, err := partition.NewRouter(s.open("other").store, name); !errors.Is(err, backend.ErrInvalid) {
				s.t.Errorf("NewRouter of %q: %v", name, err)
			}
		}
		if _, err := partition.NewRouter(nil, "p"); !errors.Is(err, backend.ErrInvalid) {
			s.t.Errorf("NewRouter of no store: %v", err)
		}
	})
}

func ownedRouter(tb testing.TB) *partition.Router {
	tb.Helper()
	store := owned(tb).Store()
	r, err := partition.NewRouter(store, "p")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() })
	if err := r.Wait(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return r
}

func BenchmarkRouter(b *testing.B) {
	r := ownedRouter(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, found := r.Owner("order/7"); !found {
			b.Fatal("nobody owns the slot")
		}
	}
}

func TestRouterAllocatesNothing(t *testing.T) {
	// Catches: a plan, a view or an ID that is copied for each request.
	r := ownedRouter(t)
	if n := testing.AllocsPerRun(1000, func() { r.Owner("order/7") }); n > 0 {
		t.Errorf("Owner: %v allocations", n)
	}
}
