package partition_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// A cordoned member gives its slots away and gets none, also after a restart,
// until it is uncordoned by any process.
func TestCordon(t *testing.T) {
	bubble(t, partition.Options{Slots: 12}, func(s *scene) {
		a, b, operator := s.start("a"), s.start("b"), s.open("operator")
		time.Sleep(3 * time.Second)
		s.wantShares("with two", "a:6 b:6")
		if err := operator.part.Cordon(s.t.Context(), "a"); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		s.wantShares("with one cordoned", "b:12")
		a.stop()
		s.start("a")
		time.Sleep(3 * time.Second)
		s.wantShares("after its restart", "b:12")
		status, err := operator.part.Status(s.t.Context())
		if err != nil || !status.Claimants[0].Cordoned || status.Claimants[1].Cordoned {
			s.t.Errorf("Status = %+v, %v", status.Claimants, err)
		}
		for range 2 {
			if err := b.part.Uncordon(s.t.Context(), "a"); err != nil {
				s.t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		s.wantShares("uncordoned", "a:6 b:6")
	})
}

// If every member is cordoned, each keeps what it has.
func TestCordonOfAll(t *testing.T) {
	bubble(t, partition.Options{Slots: 12}, func(s *scene) {
		s.start("a")
		b := s.start("b")
		time.Sleep(3 * time.Second)
		for _, id := range []string{"a", "b"} {
			if err := b.part.Cordon(s.t.Context(), id); err != nil {
				s.t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
		}
		s.wantShares("all cordoned", "b:12")
		s.start("c")
		time.Sleep(3 * time.Second)
		s.wantShares("with one who is not", "c:12")
	})
}

// While the slots are frozen only those move whose owner has gone.
func TestFreeze(t *testing.T) {
	bubble(t, partition.Options{Slots: 12}, func(s *scene) {
		a := s.start("a")
		s.start("b")
		time.Sleep(3 * time.Second)
		if err := a.part.Freeze(s.t.Context(), time.Now().Add(time.Minute)); err != nil {
			s.t.Fatal(err)
		}
		if err := a.part.Cordon(s.t.Context(), "b"); err != nil {
			s.t.Fatal(err)
		}
		c := s.start("c")
		time.Sleep(20 * time.Second)
		s.wantShares("frozen", "a:6 b:6")
		a.crash()
		time.Sleep(ttl + 5*time.Second)
		s.wantShares("after a crash, frozen", "b:6 c:6")
		if err := c.part.Uncordon(s.t.Context(), "b"); err != nil {
			s.t.Fatal(err)
		}
		s.start("d")
		time.Sleep(5 * time.Second)
		s.wantShares("still frozen", "b:6 c:6")
		time.Sleep(30 * time.Second)
		s.wantShares("when the time has come", "b:4 c:4 d:4")
	})
}

func TestSetWeight(t *testing.T) {
	bubble(t, partition.Options{Slots: 12}, func(s *scene) {
		a := s.start("a")
		s.start("b")
		time.Sleep(3 * time.Second)
		if err := a.part.SetWeight(3); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		s.wantShares("with a weight of 3", "a:9 b:3")
		if err := a.part.SetWeight(0); err == nil {
			s.t.Error("a weight of 0 is accepted")
		}
	})
}

func TestZones(t *testing.T) {
	bubble(t, partition.Options{Slots: 12}, func(s *scene) {
		zones := map[string]string{"a": "x", "b": "y", "c": "x"}
		var first *process
		for _, id := range []string{"a", "b", "c"} {
			s.opts.Zone = zones[id]
			p := s.open(id)
			if first == nil {
				first = p
			}
			p.run()
		}
		time.Sleep(3 * time.Second)
		s.wantShares("in two zones", "a:4 b:4 c:4")
		status, err := first.part.Status(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		last := ""
		for k, slot := range status.Slots[:9] {
			if zone := zones[slot.Owner.ID]; zone == last && zone == "y" {
				s.t.Errorf("slots %d and %d are in zone %s", k-1, k, zone)
			} else {
				last = zone
			}
		}
	})
}

// rollingRestart restarts all members, one after the other, and returns how
// many times slots went to a member of another ID.
func rollingRestart(s *scene, members, slots int, restart func(old *process, i int) *process) float64 {
	s.t.Helper()
	var all []*process
	s.opts.Version = "v9"
	for i := range members {
		all = append(all, s.start(fmt.Sprintf("old%02d", i)))
	}
	time.Sleep(5 * time.Second)
	s.mu.Lock()
	before := len(s.spans)
	s.mu.Unlock()
	s.opts.Version = "v10"
	for i, old := range all {
		restart(old, i)
		time.Sleep(5 * time.Second)
	}
	s.shares()
	s.mu.Lock()
	defer s.mu.Unlock()
	last, moves := make(map[int]string), 0
	for i, sp := range s.spans {
		k := sp.slot.Number()
		if i >= before && last[k] != sp.who {
			moves++
		}
		last[k] = sp.who
	}
	return float64(moves) / float64(slots)
}

func TestRollingRestart(t *testing.T) {
	const members, slots = 20, 1024
	replace := func(s *scene, surge bool) func(*process, int) *process {
		return func(old *process, i int) *process {
			if !surge {
				old.stop()
				time.Sleep(3 * time.Second)
			}
			p := s.start(fmt.Sprintf("new%02d", i))
			if surge {
				time.Sleep(3 * time.Second)
				old.stop()
			}
			return p
		}
	}
	for name, surge := range map[string]bool{"leave first": false, "join first": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, partition.Options{Slots: slots}, func(s *scene) {
				s.overlap = true // check is quadratic, and of other tests
				moves := rollingRestart(s, members, slots, replace(s, surge))
				if moves > 1.2 || moves < 1 {
					s.t.Errorf("a slot moves %.2f times, want from 1 to 1.2", moves)
				}
				s.t.Logf("a slot moves %.2f times", moves)
			})
		})
	}
	t.Run("under the same ID within Grace", func(t *testing.T) {
		bubble(t, partition.Options{Slots: slots, Grace: time.Minute}, func(s *scene) {
			s.overlap = true
			moves := rollingRestart(s, members, slots, func(old *process, _ int) *process {
				old.stop()
				time.Sleep(3 * time.Second)
				return s.start(old.id)
			})
			if moves != 0 {
				s.t.Errorf("a slot moves %.2f times, want none", moves)
			}
		})
	})
}

// A canary gets its share when its deploy has been quiet for five minutes.
func TestDeployThatStops(t *testing.T) {
	bubble(t, partition.Options{Slots: 12, Version: "1"}, func(s *scene) {
		s.start("a")
		s.start("b")
		time.Sleep(3 * time.Second)
		s.opts.Version = "2"
		s.start("c")
		time.Sleep(4 * time.Minute)
		s.wantShares("while the deploy is under way", "a:6 b:6")
		time.Sleep(2 * time.Minute)
		s.wantShares("when it was quiet", "a:4 b:4 c:4")
	})
}

func TestOptionsOfMembers(t *testing.T) {
	bubble(t, partition.Options{}, func(s *scene) {
		p := s.open("a")
		group, err := membership.New(p.store, "h", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, opts := range []partition.Options{{Zone: fmt.Sprintf("%101d", 1)}, {Version: fmt.Sprintf("%101d", 1)}, {Weight: 1001}} {
			if _, err := partition.New(group, "p", &opts); err == nil {
				s.t.Errorf("New accepts %+v", opts)
			}
		}
		if err := p.part.Cordon(s.t.Context(), ""); err == nil {
			s.t.Error("Cordon accepts no ID")
		}
	})
}
