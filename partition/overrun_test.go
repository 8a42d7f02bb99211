package partition_test

import (
	"bytes"
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
	"github.com/quorate/quorate/partition"
)

// stubborn is work of which slot 0 does not return before back is closed.
func stubborn(back <-chan struct{}) func(context.Context, *partition.Slot) error {
	return func(ctx context.Context, slot *partition.Slot) error {
		<-ctx.Done()
		if slot.Number() == 0 {
			<-back
		}
		return nil
	}
}

// startStubborn starts a member that has all slots.
func (s *scene) startStubborn(id string) (p *process, back chan struct{}) {
	s.t.Helper()
	p, back = s.open(id), make(chan struct{})
	p.work = stubborn(back)
	p.run()
	time.Sleep(2*time.Second + s.opts.Strict)
	s.wantShares("alone", fmt.Sprintf("%s:%d", id, s.slots()))
	return p, back
}

// wantOverrun fails unless Run ends within so long, for a body of slot 0.
func (p *process) wantOverrun(within time.Duration) {
	p.t.Helper()
	select {
	case err := <-p.done:
		if !errors.Is(err, partition.ErrDrainTimeout) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "[0]") {
			p.t.Errorf("Run returned %v, want ErrDrainTimeout, for slot 0 alone, and no other", err)
		}
	case <-time.After(within):
		p.t.Fatalf("Run has not returned within %v", within)
	}
}

// runsElsewhere returns whether anybody else than who runs slot 0.
func (s *scene) runsElsewhere(who string) bool {
	for _, other := range s.owners()[0] {
		if other != who {
			return true
		}
	}
	return false
}

// By default a body that does not return is reported, again and again, its slot
// is nobody else's, and Run goes on.
func TestOverrunIsReported(t *testing.T) {
	bubble(t, partition.Options{Slots: 2, DrainTimeout: 5 * time.Second}, func(s *scene) {
		var mu sync.Mutex
		var said []backend.BodyOverran
		var began []backend.Ownership
		var logged bytes.Buffer
		s.store = &backend.Options{
			Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelError})),
			Trace: &backend.Trace{
				OwnershipBegan: func(o backend.Ownership) {
					mu.Lock()
					defer mu.Unlock()
					began = append(began, o)
				},
				BodyOverran: func(b backend.BodyOverran) {
					mu.Lock()
					defer mu.Unlock()
					said = append(said, b)
				},
			},
		}
		a, back := s.startStubborn("a")
		s.store = nil
		mu.Lock()
		var slots []int
		for _, o := range began {
			slots = append(slots, o.Slot)
		}
		mu.Unlock()
		if slices.Sort(slots); !slices.Equal(slots, []int{0, 1}) {
			s.t.Errorf("the slots that began are traced as %v", slots)
		}
		s.start("b")
		time.Sleep(2 * time.Second)
		a.putPlan("b", "a")
		time.Sleep(16 * time.Second)
		s.wantShares("long after", "a:2")
		mu.Lock()
		if len(said) != 3 {
			s.t.Fatalf("it was reported %d times in 16 s", len(said))
		}
		for i, b := range said {
			if want := time.Duration(i+1) * 5 * time.Second; b.For != want || b.Name != "p" || b.Slot != 0 || b.Kind != backend.KindPartition || !errors.Is(b.Cause, partition.ErrMoved) {
				s.t.Errorf("reported is %+v after %v", b, want)
			}
		}
		mu.Unlock()
		if n := strings.Count(logged.String(), "has not returned"); n != 3 {
			s.t.Errorf("the log says so %d times:\n%s", n, &logged)
		}
		close(back)
		time.Sleep(time.Second)
		s.wantShares("when it has returned", "a:1 b:1")
	})
}

// Catches: a Run that waits for ever, claims that are given up with a body left
// behind, others' slots held back with them.
func TestOverrunEndsRun(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Hour} {
		for _, strict := range []time.Duration{0, ttl} {
			t.Run(fmt.Sprint("grace ", grace, " strict ", strict), func(t *testing.T) {
				opts := partition.Options{Slots: 4, DrainTimeout: 5 * time.Second, EndOnDrainTimeout: true, Grace: grace, Strict: strict}
				bubble(t, opts, func(s *scene) {
					a, back := s.startStubborn("a")
					s.start("b")
					time.Sleep(2*time.Second + strict)
					s.wantShares("with two", "a:2 b:2")
					a.putPlan("b", "b", "a", "a")
					a.wantOverrun(8 * time.Second)
					synctest.Wait()
					s.mu.Lock()
					for _, sp := range s.spans {
						if sp.who == "a" && sp.slot.Number() > 1 && !errors.Is(sp.cause, partition.ErrDrainTimeout) && !errors.Is(sp.cause, partition.ErrMoved) {
							s.t.Errorf("the body of slot %d ended with %v", sp.slot.Number(), sp.cause)
						}
					}
					s.mu.Unlock()
					time.Sleep(time.Second + strict)
					want := map[time.Duration]string{0: "b b b", time.Hour: "b - -"}[grace] // kept for a process that is back
					if got := s.rest(); got != want {
						s.t.Errorf("slots 1 to 3 are run by %s, want %s", got, want)
					}
					time.Sleep(10 * time.Minute)
					s.wantRuns("as long as it does not return", "a")
					if got := strings.Join(s.holders(), " "); got != "a" {
						s.t.Errorf("slot 0 is claimed by %q", got)
					}
					close(back)
					time.Sleep(ttl + strict)
					s.wantRuns("when it has returned", "b")
				})
			})
		}
	}
}

// rest returns who runs the slots but the first.
func (s *scene) rest() string {
	var all []string
	owners := s.owners()
	for k := 1; k < s.slots(); k++ {
		all = append(all, strings.Join(append(owners[k], "-")[:max(len(owners[k]), 1)], "+"))
	}
	return strings.Join(all, " ")
}

// The end of the process is what gives the slot back.
func TestOverrunUntilTheProcessEnds(t *testing.T) {
	bubble(t, partition.Options{Slots: 2, DrainTimeout: 5 * time.Second, EndOnDrainTimeout: true}, func(s *scene) {
		s.overlap = true // the body is not of a process that has ended
		a, back := s.startStubborn("a")
		s.start("b")
		time.Sleep(2 * time.Second)
		a.putPlan("b", "a")
		a.wantOverrun(8 * time.Second)
		closed := time.Now()
		if err := a.store.Close(); err == nil {
			s.t.Error("Close has revoked the session under a body that runs")
		}
		a.driver.Silence() // the process has ended
		for !s.runsElsewhere("a") {
			time.Sleep(100 * time.Millisecond)
			if time.Since(closed) > 2*ttl {
				s.t.Fatal("nobody has the slot though the session is over")
			}
		}
		if took := time.Since(closed); took < ttl/2 {
			s.t.Errorf("the slot began elsewhere %v after the process had ended, before its session was over", took)
		}
		close(back)
	})
}

// Run also ends if it is to end anyway: when its context ends, when the member
// leaves, and when the store is away. Its error says that it has not joined all.
func TestOverrunWhileRunEnds(t *testing.T) {
	for what, end := range map[string]func(p *process){
		"context":  func(p *process) { p.cancel() },
		"leave":    func(p *process) { _ = p.reg.Leave(p.t.Context()) },
		"outage":   func(p *process) { p.driver.Silence(); p.cancel() },
		"deletion": func(p *process) { p.server.Delete(keysIn(p.server, "/claims/a")[0]) },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, partition.Options{Slots: 2, DrainTimeout: 5 * time.Second, EndOnDrainTimeout: true}, func(s *scene) {
				s.overlap = what == "outage" || what == "deletion" // the claims go
				a, back := s.startStubborn("a")
				s.start("b")
				time.Sleep(2 * time.Second)
				end(a)
				a.wantOverrun(ttl + 8*time.Second)
				time.Sleep(time.Second)
				if what == "context" || what == "leave" {
					if got := s.rest(); got != "b" {
						s.t.Errorf("slot 1 is run by %s", got)
					}
					time.Sleep(3 * ttl)
					s.wantRuns("as long as it does not return", "a")
				}
				close(back)
				time.Sleep(2 * ttl)
				synctest.Wait()
				if what != "outage" {
					s.wantShares("when it has returned", "b:2")
				}
			})
		})
	}
}

// A further Run of the process, as by a supervisor, runs what is left, and not
// the slot of the body that was left behind.
func TestOverrunAndRunAgain(t *testing.T) {
	bubble(t, partition.Options{Slots: 4, DrainTimeout: 5 * time.Second, EndOnDrainTimeout: true}, func(s *scene) {
		a, back := s.startStubborn("a")
		b := s.start("b")
		time.Sleep(2 * time.Second)
		a.putPlan("b", "b", "a", "a")
		a.wantOverrun(8 * time.Second)
		<-a.ended
		a.work = nil
		a.run()
		time.Sleep(4 * time.Second)
		b.stop()
		time.Sleep(time.Minute)
		s.wantShares("as long as it does not return", "a:4")
		if began := s.began(time.Now().Add(-time.Minute)); began == 0 {
			s.t.Error("nothing has moved to a")
		}
		synctest.Wait()
		old := s.firstOf(0)
		if n := s.countOf(0); n != 1 {
			s.t.Errorf("slot 0 began %d times", n)
		}
		close(back)
		time.Sleep(ttl)
		s.wantShares("when it has returned", "a:4")
		if last := s.last(); last.slot.Number() != 0 || last.slot.Token() <= old.slot.Token() {
			s.t.Errorf("slot %d began with token %d after slot 0 with %d", last.slot.Number(), last.slot.Token(), old.slot.Token())
		}
	})
}

func (s *scene) firstOf(k int) *span {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range s.spans {
		if sp.slot.Number() == k {
			return sp
		}
	}
	return nil
}

func (s *scene) countOf(k int) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range s.spans {
		if sp.slot.Number() == k {
			n++
		}
	}
	return n
}
