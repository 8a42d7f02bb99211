package policy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

const ttl = backend.DefaultTTL

// worker is a process that is a member of a group and runs slots.
type worker struct {
	*process
	group *membership.Group
	reg   *membership.Registration
	slots *partition.Partition
	runs  chan int   // numbers of slots whose body begins
	ended chan error // of Run
	stop  context.CancelFunc
}

func work(t *testing.T, server *memory.Server, id string) *worker {
	t.Helper()
	w := &worker{process: start(t, server), runs: make(chan int, 100)}
	var err error
	w.group, err = membership.New(w.Store, "g", nil)
	must(t, err)
	w.slots, err = partition.New(w.group, "p", &partition.Options{Slots: 2})
	must(t, err)
	w.join(t, id)
	return w
}

// join joins the group, and runs the slots.
func (w *worker) join(t *testing.T, id string) {
	t.Helper()
	var err error
	w.reg, err = w.group.Join(t.Context(), membership.Member{ID: id})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	w.stop, w.ended = stop, make(chan error, 1)
	t.Cleanup(stop)
	reg, ended := w.reg, w.ended
	go func() {
		ended <- w.slots.Run(ctx, reg, func(ctx context.Context, s *partition.Slot) error {
			w.runs <- s.Number()
			<-ctx.Done()
			return nil
		})
	}()
}

// begins waits until so many bodies have begun.
func (w *worker) begins(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-w.runs:
		case <-time.After(time.Minute):
			t.Fatal("a slot has no owner")
		}
	}
}

// TestARefusalThatPassesEndsNothing: servers that start refuse a valid
// credential for a moment. Nothing ends for that, and what was owned is owned.
func TestARefusalThatPassesEndsNothing(t *testing.T) {
	for _, while := range []time.Duration{300 * time.Millisecond, ttl/2 - time.Second} {
		t.Run(while.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := work(t, memory.NewServer(), "a")
				w.begins(t, 2)
				w.driver.answer(driver.ErrDenied, driver.ErrDenied)
				// What needs the store now waits for it.
				updated := make(chan error, 1)
				go func() { updated <- w.reg.Update(t.Context(), map[string]string{"a": "b"}) }()
				time.Sleep(while)
				w.driver.answer(nil, nil)
				must(t, <-updated)
				time.Sleep(time.Minute)
				if err := context.Cause(w.reg.Context()); err != nil {
					t.Errorf("the membership ended: %v", err)
				}
				select {
				case err := <-w.ended:
					t.Errorf("Run ended: %v", err)
				case k := <-w.runs:
					t.Errorf("slot %d began again", k)
				default:
				}
				if w.warnings.Load() == 0 {
					t.Error("nothing was logged")
				}
			})
		})
	}
}

// TestARefusalThatStaysBlocksNobody: what a process that may not write any more
// holds goes to the others within two TTLs and 2 s; when it may write again the
// same objects work, and none has kept the refusal.
func TestARefusalThatStaysBlocksNobody(t *testing.T) {
	for name, read := range map[string]error{"writes": nil, "all": driver.ErrDenied} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := memory.NewServer()
				w, other := work(t, server, "a"), work(t, server, "b")
				w.begins(t, 1)
				other.begins(t, 1)
				synctest.Wait()
				for len(w.runs) > 0 {
					<-w.runs
				}
				w.driver.answer(read, driver.ErrDenied)
				began := time.Now()
				left := make(chan error, 1)
				go func() { left <- w.reg.Leave(t.Context()) }()
				other.begins(t, 1)
				if d := time.Since(began); d > 2*ttl+2*time.Second {
					t.Errorf("the others waited %v", d)
				}
				if err := <-left; !errors.Is(err, backend.ErrDenied) {
					t.Errorf("Leave = %v, want ErrDenied", err)
				}
				_ = <-w.ended
				time.Sleep(time.Hour)
				if ids := members(other.group); ids != "b" {
					t.Errorf("the members are %q", ids)
				}
				w.driver.answer(nil, nil)
				w.join(t, "a")
				w.begins(t, 1)
			})
		})
	}
}

func members(g *membership.Group) (ids string) {
	for _, m := range g.View().Members {
		ids += m.ID
	}
	return ids
}

// TestNothingThatEndedKeepsItsError: a group that the store would not have
// followed is followed again by the next call.
func TestNothingThatEndedKeepsItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		w := work(t, server, "a")
		w.begins(t, 2)
		streams := make(chan error, 1)
		go func() {
			for _, err := range w.group.Watch(t.Context()) {
				if err != nil {
					streams <- err
				}
			}
		}()
		for range 2 { // the second time from the start
			w.driver.answer(driver.ErrDenied, driver.ErrDenied)
			if err := <-w.ended; !errors.Is(err, backend.ErrDenied) {
				t.Errorf("Run = %v, want ErrDenied", err)
			}
			<-w.reg.Context().Done()
			if err := context.Cause(w.reg.Context()); !errors.Is(err, backend.ErrDenied) {
				t.Errorf("the membership ended with %v, want ErrDenied", err)
			}
			if err := <-streams; !errors.Is(err, backend.ErrDenied) {
				t.Errorf("Watch = %v, want ErrDenied", err)
			}
			time.Sleep(time.Hour)
			w.driver.answer(nil, nil)
			w.join(t, "a")
			w.begins(t, 2)
			must(t, w.group.WaitSynced(t.Context()))
			go func() {
				for _, err := range w.group.Watch(t.Context()) {
					if err != nil {
						streams <- err
					}
				}
			}()
			time.Sleep(time.Second)
			if ids := members(w.group); ids != "a" || w.group.View().Stale {
				t.Errorf("the view shows %q, stale: %t", ids, w.group.View().Stale)
			}
			if owner, ok := w.slots.Owner("key"); !ok && owner.ID != "a" {
				time.Sleep(time.Second)
				if owner, _ = w.slots.Owner("key"); owner.ID != "a" {
					t.Errorf("the owner is %q", owner.ID)
				}
			}
		}
	})
}
