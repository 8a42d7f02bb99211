package partition_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/partition"
)

const planKey = "partition/p/plan"

// planByHand puts the plan that an entry holds.
func (p *process) planByHand(plan driver.Entry) {
	p.t.Helper()
	now, _, err := p.store.Get(p.t.Context(), planKey)
	if err != nil {
		p.t.Fatal(err)
	}
	result, err := p.store.Commit(p.t.Context(), driver.Txn{Ops: []driver.Op{driver.Put(planKey, plan.Value, now.Version)}})
	if err != nil || !result.Applied {
		p.t.Fatalf("a plan by hand: %t, %v", result.Applied, err)
	}
}

func (p *process) plan() driver.Entry {
	p.t.Helper()
	entry, _, err := p.store.Get(p.t.Context(), planKey)
	if err != nil {
		p.t.Fatal(err)
	}
	return entry
}

// Catches: a body that runs although the member's own release of its slot may
// still land. The plan goes back by hand, so that the slot is released, and
// forward again, so that it comes back with the same token; then the member
// falls deaf.
func TestReleaseInDoubtWhenTheSameTokenComesBack(t *testing.T) {
	bubble(t, partition.Options{Slots: 1}, func(s *scene) {
		a, b := s.start("a"), s.start("b")
		time.Sleep(2 * time.Second)
		a.putPlan("b")
		time.Sleep(time.Second)
		old := b.plan()
		token := a.putPlan("a")
		time.Sleep(time.Second)
		s.wantRuns("before", "a")
		present := b.plan()

		release := a.faults.NextCommit(puts, faults.Fault{LandLater: 2 * time.Second})
		b.planByHand(old)
		<-release.Hit()
		b.planByHand(present)
		time.Sleep(500 * time.Millisecond)
		s.wantRuns("when the slot has come back", "a")
		if got := s.last().slot.Token(); got != token {
			s.t.Fatalf("a has the token %d, want %d as before: this test is of no use", got, token)
		}
		a.driver.Mute()
		b.putPlan("b")
		time.Sleep(4 * time.Second) // what was under way has landed
		s.wantRuns("while a cannot hear that it is to stop", "a")
		time.Sleep(ttl)
		s.wantRuns("once the claims of a are gone", "b")
		a.driver.Heal()
	})
}

// Catches: claims that came to the store late, after their Run had ended, which
// are given slots.
func TestLateClaimsAreNoSeat(t *testing.T) {
	bubble(t, partition.Options{Slots: 4}, func(s *scene) {
		b := s.start("b")
		time.Sleep(2 * time.Second)
		a := s.open("a")
		creates := func(txn driver.Txn) bool {
			return txn.Ops[0].Kind == driver.OpCreate && strings.Contains(txn.Ops[0].Key, "/claims/")
		}
		late := a.faults.NextCommit(creates, faults.Fault{LandLater: 5 * time.Second})
		a.run()
		<-late.Hit()
		lands := time.Now().Add(5 * time.Second)
		time.Sleep(3 * time.Second)
		s.wantShares("while a runs", "a:2 b:2")
		a.end() // it stays a member
		s.wantShares("when its Run has ended", "b:4")
		time.Sleep(time.Until(lands) + time.Millisecond)
		if keys := keysIn(s.server, "/claims/a"); len(keys) != 1 {
			s.t.Fatalf("the claims of a are %q", keys)
		}
		s.start("c") // somebody looks at the plan
		for range 60 {
			time.Sleep(100 * time.Millisecond)
			for i := range 20 {
				if m, ok := b.part.Owner(fmt.Sprint("key-", i)); !ok || m.ID == "a" {
					s.t.Fatalf("key-%d is given to %q, %v after the claims of a came to the store", i, m.ID, time.Since(lands))
				}
			}
		}
		s.wantShares("in the end", "b:2 c:2")
		if keys := keysIn(s.server, "/claims/a"); len(keys) != 0 {
			s.t.Errorf("the claims of a are still there: %q", keys)
		}
	})
}
