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

// What is deleted by hand heals.
func TestDeletedByHand(t *testing.T) {
	for _, part := range []string{"/plan", "/line/", "/claims/a", "/members/a"} {
		for _, strict := range []time.Duration{0, ttl} {
			t.Run(fmt.Sprint(part[1:], strict), func(t *testing.T) {
				bubble(t, partition.Options{Slots: 4, Strict: strict}, func(s *scene) {
					s.overlap = strict == 0
					s.start("a")
					s.start("b")
					time.Sleep(3*time.Second + strict)
					s.wantShares("at first", "a:2 b:2")
					for _, key := range keysIn(s.server, part) {
						s.server.Delete(key)
					}
					time.Sleep(2*ttl + strict)
					s.wantShares("after it has healed", "a:2 b:2")
					if marks := keysIn(s.server, "/line/"); len(marks) != 1 {
						s.t.Errorf("marks: %q", marks)
					}
				})
			})
		}
	}
}

// A wipe, and a restore of an older state, heal with tokens that grow.
func TestWipedAndRestored(t *testing.T) {
	for _, what := range []string{"wiped", "restored"} {
		t.Run(what, func(t *testing.T) {
			bubble(t, partition.Options{Slots: 4}, func(s *scene) {
				s.overlap = true
				s.start("a")
				s.start("b")
				time.Sleep(3 * time.Second)
				snapshot := s.server.Snapshot()
				c := s.start("c")
				time.Sleep(3 * time.Second)
				c.stop()
				time.Sleep(3 * time.Second)
				high := s.last().slot.Token()
				before := time.Now()
				if what == "wiped" {
					s.server.Wipe()
				} else {
					s.server.Restore(snapshot)
				}
				time.Sleep(2*ttl + 2*time.Second)
				s.wantShares("after it has healed", "a:2 b:2")
				for _, sp := range s.spans {
					if sp.start.After(before.Add(5*time.Second)) && sp.end.IsZero() && sp.slot.Token() <= high {
						s.t.Errorf("slot %d began with token %d after %d had been seen", sp.slot.Number(), sp.slot.Token(), high)
					}
				}
			})
		})
	}
}

// Catches: claims that a restore has brought back after their Run had ended,
// kept by a session that lives on.
func TestRestoredAfterRunHasEnded(t *testing.T) {
	bubble(t, partition.Options{Slots: 2}, func(s *scene) {
		s.overlap = true
		a := s.start("a")
		s.start("b")
		time.Sleep(3 * time.Second)
		s.wantShares("at first", "a:1 b:1")
		snapshot := s.server.Snapshot()
		a.stop()
		time.Sleep(2 * time.Second)
		s.wantShares("after a has left", "b:2")
		s.server.Restore(snapshot)
		time.Sleep(2 * ttl)
		s.wantShares("after the restore", "b:2")
		a.part.Close()
	})
}

func TestStrictWaits(t *testing.T) {
	bubble(t, partition.Options{Slots: 1, Strict: ttl}, func(s *scene) {
		a := s.open("a")
		a.work = slowly(500 * time.Millisecond) // long enough for b to see who has it
		a.run()
		time.Sleep(ttl - 2*time.Second)
		s.wantRuns("before a TTL", "")
		time.Sleep(4 * time.Second)
		s.wantRuns("after a TTL", "a")
		s.start("b")
		s.start("c")
		time.Sleep(2 * time.Second)
		moved := time.Now()
		a.putPlan("b")
		time.Sleep(time.Second)
		s.wantRuns("after a move that was seen", "b")
		if gap := s.last().start.Sub(moved); gap > 600*time.Millisecond {
			s.t.Errorf("a release that was seen took %v", gap)
		}
	})
}

// Catches: a strict member that trusts its session alone. Here it renews, but
// neither hears nor reads that its claims are gone.
func TestStrictHolderThatCannotRead(t *testing.T) {
	bubble(t, partition.Options{Slots: 1, Strict: ttl}, func(s *scene) {
		a := s.start("a")
		time.Sleep(ttl + 2*time.Second)
		b := s.start("b")
		time.Sleep(2 * time.Second)
		s.wantRuns("at first", "a")
		for range 2000 {
			a.faults.Next(faults.Read, faults.Fault{Refuse: true})
			a.faults.Next(faults.Watch, faults.Fault{Refuse: true})
		}
		a.faults.CutWatches()
		for _, key := range keysIn(s.server, "/claims/a") {
			s.server.Delete(key)
		}
		b.putPlan("b")
		time.Sleep(ttl + 2*time.Second)
		s.wantRuns("after a TTL", "b")
	})
}

// Catches: claims that were deleted by hand and created again, by a commit that
// lands late, taken for a release.
func TestStrictClaimsThatAreCreatedAgain(t *testing.T) {
	bubble(t, partition.Options{Slots: 1, Strict: ttl}, func(s *scene) {
		a := s.open("a")
		creates := func(txn driver.Txn) bool {
			return txn.Ops[0].Kind == driver.OpCreate && strings.Contains(txn.Ops[0].Key, "/claims/")
		}
		late := a.faults.NextCommit(creates, faults.Fault{LandLater: 20 * time.Second})
		a.run()
		<-late.Hit()
		lands := time.Now().Add(20 * time.Second)
		time.Sleep(ttl + 3*time.Second)
		b := s.start("b")
		time.Sleep(2 * time.Second)
		s.wantRuns("at first", "a")
		for range 2000 {
			a.faults.Next(faults.Read, faults.Fault{Refuse: true})
			a.faults.Next(faults.Watch, faults.Fault{Refuse: true})
		}
		a.faults.CutWatches()
		b.putPlan("b")
		time.Sleep(time.Until(lands) - 100*time.Millisecond)
		for _, key := range keysIn(s.server, "/claims/a") {
			s.server.Delete(key)
		}
		time.Sleep(200 * time.Millisecond)
		if keys := keysIn(s.server, "/claims/a"); len(keys) != 1 {
			s.t.Fatalf("claims of a: %q", keys)
		}
		s.start("c") // b has a look
		time.Sleep(ttl + time.Second)
		s.wantRuns("after a TTL", "b")
	})
}

// Catches: acting on a plan that is older than one that was seen.
func TestOlderPlanIsNotActedOn(t *testing.T) {
	bubble(t, partition.Options{Slots: 1}, func(s *scene) {
		a, _, _ := three(s)
		const key = "partition/p/plan"
		old, _, err := a.store.Get(s.t.Context(), key)
		if err != nil {
			s.t.Fatal(err)
		}
		epoch := a.putPlan("b")
		time.Sleep(6 * time.Second)
		s.wantRuns("after the move", "b")
		now, _, err := a.store.Get(s.t.Context(), key)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := a.store.Commit(s.t.Context(), driver.Txn{Ops: []driver.Op{driver.Put(key, old.Value, now.Version)}}); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if n := len(s.owners()[0]); n != 1 || s.last().slot.Token() <= epoch {
			s.t.Errorf("the slot is run by %d, last with token %d; %d had been seen", n, s.last().slot.Token(), epoch)
		}
	})
}
