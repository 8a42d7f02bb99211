package partition_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/partition"
)

// slowly is work that ends some time after its context has.
func slowly(d time.Duration) func(context.Context, *partition.Slot) error {
	return func(ctx context.Context, _ *partition.Slot) error {
		<-ctx.Done()
		time.Sleep(d)
		return nil
	}
}

func (p *process) putPlan(owners ...string) uint64 {
	p.t.Helper()
	epoch, err := partition.PutPlan(p.t.Context(), p.store, "p", owners...)
	if err != nil {
		p.t.Fatalf("plan: %v", err)
	}
	return epoch
}

// wantRuns fails unless slot 0 is run by who, or by nobody if that is empty.
func (s *scene) wantRuns(when, who string) {
	s.t.Helper()
	synctest.Wait()
	if got := strings.Join(s.owners()[0], " "); got != who {
		s.t.Errorf("%s: slot 0 is run by %q, want %q", when, got, who)
	}
}

func (s *scene) last() *span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spans[len(s.spans)-1]
}

func (s *scene) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spans)
}

// three starts three members, of which the first runs the only slot, and takes
// five seconds to end it.
func three(s *scene) (a, b, c *process) {
	a = s.open("a")
	a.work = slowly(5 * time.Second)
	a.run()
	time.Sleep(2 * time.Second)
	b, c = s.start("b"), s.start("c")
	time.Sleep(2 * time.Second)
	s.wantRuns("at first", "a")
	return a, b, c
}

// Catches: a start by plan alone; a claim that does not look at all others.
func TestTwoMovesBeforeTheSecondBegan(t *testing.T) {
	bubble(t, partition.Options{Slots: 1}, func(s *scene) {
		a, _, _ := three(s)
		a.putPlan("b")
		time.Sleep(time.Second)
		s.wantRuns("while a drains", "a")
		epoch := a.putPlan("c")
		time.Sleep(time.Second)
		s.wantRuns("while a still drains", "a")
		time.Sleep(4 * time.Second)
		s.wantRuns("then", "c")
		if got := s.last().slot.Token(); got != epoch {
			s.t.Errorf("c has the token %d, want %d", got, epoch)
		}
		if n := s.count(); n != 2 {
			s.t.Errorf("the slot began %d times, want 2", n)
		}
	})
}

// Catches: a run under a claim with the token of an earlier plan.
func TestBackToTheFirstBeforeItReleased(t *testing.T) {
	bubble(t, partition.Options{Slots: 1}, func(s *scene) {
		a, _, _ := three(s)
		a.putPlan("b")
		time.Sleep(time.Second)
		epoch := a.putPlan("a")
		time.Sleep(time.Second)
		if n := s.count(); n != 1 {
			s.t.Errorf("the slot began %d times before the body returned", n)
		}
		time.Sleep(4 * time.Second)
		s.wantRuns("then", "a")
		if got := s.last().slot.Token(); got != epoch {
			s.t.Errorf("a has the token %d, want %d", got, epoch)
		}
	})
}

func TestBackToTheFirstAfterItReleased(t *testing.T) {
	bubble(t, partition.Options{Slots: 1}, func(s *scene) {
		a, _, _ := three(s)
		a.putPlan("b")
		time.Sleep(6 * time.Second)
		s.wantRuns("after the move", "b")
		epoch := a.putPlan("a")
		time.Sleep(time.Second)
		s.wantRuns("after the move back", "a")
		if got := s.last().slot.Token(); got != epoch {
			s.t.Errorf("a has the token %d, want %d", got, epoch)
		}
	})
}

// A member that has not heard of two plans goes on: nobody else began.
func TestGoesOnAcrossPlansItHasNotSeen(t *testing.T) {
	bubble(t, partition.Options{Slots: 1}, func(s *scene) {
		a, b, _ := three(s)
		a.driver.Silence()
		b.putPlan("b")
		time.Sleep(time.Second)
		b.putPlan("a")
		time.Sleep(time.Second)
		a.driver.Heal()
		time.Sleep(time.Second)
		s.wantRuns("after all", "a")
		if n := s.count(); n != 1 {
			s.t.Errorf("the slot began %d times, want 1", n)
		}
	})
}

// puts matches commits that write claims and nothing else.
func puts(txn driver.Txn) bool {
	return len(txn.Ops) == 1 && txn.Ops[0].Kind == driver.OpPut && strings.Contains(txn.Ops[0].Key, "/claims/")
}

// Catches: running again although a release may still land.
func TestReleaseInDoubtWhenTheSlotComesBack(t *testing.T) {
	for name, fault := range map[string]faults.Fault{
		"applied": {LoseReply: true}, "lands later": {LandLater: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, partition.Options{Slots: 1}, func(s *scene) {
				a, b, _ := three(s)
				release := a.faults.NextCommit(puts, fault)
				a.putPlan("b")
				<-release.Hit()
				epoch := b.putPlan("a")
				time.Sleep(2 * time.Second)
				if got := s.last(); s.owners()[0] == nil || got.who != "a" || got.slot.Token() != epoch {
					s.t.Errorf("the slot is run by %v, last with token %d by %s; want a with %d", s.owners()[0], got.slot.Token(), got.who, epoch)
				}
				time.Sleep(30 * time.Second) // what was under way lands
				s.wantRuns("in the end", "a")
				for _, e := range s.server.Entries() {
					if strings.Contains(e.Key, "/claims/a~") {
						if slots, _, err := partition.ClaimsOf(e); err != nil || slots[0] != epoch {
							s.t.Errorf("the claims of a are %v, %v", slots, err)
						}
					}
				}
			})
		})
	}
}

// holders returns whose claims hold slot 0.
func (s *scene) holders() (ids []string) {
	s.t.Helper()
	for _, e := range s.server.Entries() {
		if _, registration, ok := strings.Cut(e.Key, "/claims/"); ok {
			slots, _, err := partition.ClaimsOf(e)
			if err != nil {
				s.t.Error(err)
			}
			if _, holds := slots[0]; holds {
				ids = append(ids, registration[:1])
			}
		}
	}
	return ids
}

// Catches: a claim that is applied after the plan has moved on.
func TestClaimThatLandsLate(t *testing.T) {
	bubble(t, partition.Options{Slots: 1}, func(s *scene) {
		a, b, _ := three(s)
		claim := b.faults.NextCommit(puts, faults.Fault{LandLater: 2 * time.Second})
		a.putPlan("b")
		<-claim.Hit()
		b.driver.Mute() // what it sent is still under way, and it hears nothing
		a.putPlan("c")
		time.Sleep(time.Second)
		s.wantRuns("by then", "c")
		time.Sleep(2 * time.Second)
		if got := strings.Join(s.holders(), " "); got != "c" {
			s.t.Errorf("slot 0 is claimed by %q, want c alone", got)
		}
		b.driver.Heal()
		time.Sleep(20 * time.Second)
		s.wantRuns("in the end", "c")
	})
}

// A slot's guard refuses once another has claimed it, and stands over moves of
// other slots.
func TestGuard(t *testing.T) {
	bubble(t, partition.Options{Slots: 2}, func(s *scene) {
		a := s.start("a")
		time.Sleep(2 * time.Second)
		b := s.start("b")
		time.Sleep(2 * time.Second)
		s.wantShares("at first", "a:1 b:1")
		mine := make(map[int]*span)
		for _, sp := range s.spans {
			if sp.who == "a" && sp.end.IsZero() {
				mine[sp.slot.Number()] = sp
			}
		}
		a.putPlan("a", "a")
		time.Sleep(200 * time.Millisecond)
		write := func(i int, guard backend.Guard) error {
			_, err := a.store.Commit(s.t.Context(), driver.Txn{Ops: []driver.Op{driver.Create(fmt.Sprint("data/", i), nil)}}, guard)
			return err
		}
		for k, sp := range mine { // the one that a has had all along
			if err := write(k, sp.slot.Guard()); err != nil {
				s.t.Errorf("after another slot has moved: %v", err)
			}
			if sp.slot.Guard().Token() != sp.slot.Token() || !sp.slot.Valid() {
				s.t.Error("the slot and its guard disagree")
			}
			late := a.faults.NextCommit(func(txn driver.Txn) bool { return txn.Ops[0].Kind == driver.OpCreate }, faults.Fault{Delay: 3 * time.Second})
			done := make(chan error, 1)
			go func() { done <- write(10+k, sp.slot.Guard()) }()
			<-late.Hit()
			a.putPlan("b", "b")
			time.Sleep(time.Second)
			s.wantShares("then", "b:2")
			if sp.slot.Valid() {
				s.t.Error("a slot that has moved is valid")
			}
			for what, err := range map[string]error{"a delayed write": <-done, "a late write": write(20+k, sp.slot.Guard())} {
				if !errors.Is(err, backend.ErrFenced) {
					s.t.Errorf("%s: %v", what, err)
				}
			}
		}
		_ = b
	})
}

// A body that fails is started again, and then the slot goes to another; when
// none is left it is nobody's, until one of them would take it again.
func TestGivesUp(t *testing.T) {
	bubble(t, partition.Options{Slots: 3, Restarts: 2}, func(s *scene) {
		fails := func(who string) func(ctx context.Context, slot *partition.Slot) error {
			return func(ctx context.Context, slot *partition.Slot) error {
				if slot.Number() == 1 && (who == "a" || time.Since(s.spans[0].start) > time.Hour) {
					return errors.New("no way")
				}
				<-ctx.Done()
				return nil
			}
		}
		a := s.open("a")
		a.work = fails("a")
		a.run()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if owners := s.owners(); len(owners[1]) != 0 || len(owners[0]) != 1 || len(owners[2]) != 1 {
			s.t.Errorf("after all have given it up: %v", owners)
		}
		if n := s.count(); n != 2+3 {
			s.t.Errorf("%d bodies were called, want one for each of two slots and three for the one that fails", n)
		}
		b := s.open("b")
		b.work = fails("b")
		b.run()
		time.Sleep(5 * time.Second)
		s.wantShares("with another", "a:2 b:1")
		if owners := s.owners(); owners[1][0] != "b" {
			s.t.Errorf("slot 1 is run by %v", owners[1])
		}
		b.stop()
		time.Sleep(15 * time.Minute)
		if n := s.count(); n < 6+3 {
			s.t.Errorf("after a quarter of an hour nobody has tried again: %d calls", n)
		}
		_ = a
	})
}

// Catches: a release before the body has returned, whatever the time.
func TestKeepsTheClaimOfWhatDoesNotReturn(t *testing.T) {
	bubble(t, partition.Options{Slots: 1, DrainTimeout: time.Second}, func(s *scene) {
		a := s.open("a")
		back := make(chan struct{})
		a.work = func(context.Context, *partition.Slot) error { <-back; return nil }
		a.run()
		time.Sleep(2 * time.Second)
		s.start("b")
		time.Sleep(2 * time.Second)
		a.putPlan("b")
		time.Sleep(10 * time.Minute)
		s.wantRuns("long after", "a")
		close(back)
		s.wantRuns("when it has returned", "b")
	})
}

func TestMemberCutOffStopsInTime(t *testing.T) {
	bubble(t, partition.Options{Slots: 4}, func(s *scene) {
		a := s.start("a")
		time.Sleep(2 * time.Second)
		s.start("b")
		time.Sleep(2 * time.Second)
		a.driver.Silence()
		time.Sleep(ttl + 3*time.Second)
		s.wantShares("after a TTL", "b:4")
		a.driver.Heal()
		time.Sleep(ttl)
		s.wantShares("after it came back", "a:2 b:2")
	})
}

// Ten members restart one by one, each within the grace period: no slot moves
// to another member.
func TestRollingRestartMovesNothing(t *testing.T) {
	bubble(t, partition.Options{Slots: 40, Grace: 20 * time.Second}, func(s *scene) {
		var all []*process
		for i := range 10 {
			all = append(all, s.start(fmt.Sprint("m", i)))
		}
		time.Sleep(5 * time.Second)
		before := s.owners()
		for i, p := range all {
			p.stop()
			if i%2 == 0 {
				_ = p.store.Close()
			}
			time.Sleep(8 * time.Second)
			all[i] = s.start(p.id)
			time.Sleep(4 * time.Second)
		}
		after := s.owners()
		for k := range s.slots() {
			if len(after[k]) != 1 || after[k][0] != before[k][0] {
				s.t.Errorf("slot %d of %v is run by %v", k, before[k], after[k])
			}
		}
		s.mu.Lock()
		for _, sp := range s.spans {
			if sp.who != before[sp.slot.Number()][0] && sp.start.Sub(s.spans[0].start) > 5*time.Second {
				s.t.Errorf("slot %d of %s was run by %s", sp.slot.Number(), before[sp.slot.Number()][0], sp.who)
			}
		}
		s.mu.Unlock()
		all[3].stop()
		time.Sleep(22 * time.Second)
		if owners := s.owners(); len(owners) != 40 {
			s.t.Errorf("after the grace period %d slots are run", len(owners))
		}
	})
}

// A crashed process that is back before its claims are gone has its slots as
// soon as they are.
func TestBackBeforeTheClaimsAreGone(t *testing.T) {
	bubble(t, partition.Options{Slots: 6}, func(s *scene) {
		s.start("b")
		a := s.start("a")
		time.Sleep(3 * time.Second)
		before := s.owners()
		a.crash()
		time.Sleep(time.Second)
		s.start("a")
		time.Sleep(ttl + 2*time.Second)
		s.wantShares("after a TTL", "a:3 b:3")
		for k, who := range s.owners() {
			if who[0] != before[k][0] {
				s.t.Errorf("slot %d moved from %v to %v", k, before[k], who)
			}
		}
	})
}

func TestWeights(t *testing.T) {
	bubble(t, partition.Options{Slots: 10}, func(s *scene) {
		s.start("a")
		s.opts.Weight = 4
		s.start("b")
		time.Sleep(3 * time.Second)
		s.wantShares("with weights", "a:2 b:8")
	})
}
