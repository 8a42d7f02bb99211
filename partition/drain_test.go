package partition_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/partition"
)

// Catches: a body that drains on, and does not learn that its session is over
// and another member has begun; and one that is not let drain.
func TestDrainLastsAsLongAsTheClaim(t *testing.T) {
	for what, lose := range map[string]func(a *process){
		"silenced": func(a *process) { a.driver.Silence() },
		"deleted":  func(a *process) { a.server.Delete(keysIn(a.server, "/claims/a")[0]) },
		"closed":   func(a *process) { go a.store.Close() },
	} {
		for _, strict := range []time.Duration{0, ttl} {
			t.Run(fmt.Sprint(what, strict), func(t *testing.T) {
				bubble(t, partition.Options{Slots: 1, Strict: strict}, func(s *scene) {
					s.overlap = what == "deleted" && strict == 0 // for a notification
					type key struct{}
					var drained, ended error
					var value any
					a := s.open("a")
					a.work = func(ctx context.Context, slot *partition.Slot) error {
						<-ctx.Done()
						drain := slot.Drain()
						ended, value = context.Cause(ctx), drain.Value(key{})
						pause(drain, time.Hour)
						drained = context.Cause(drain)
						return nil
					}
					a.values = context.WithValue(s.t.Context(), key{}, "v")
					a.run()
					time.Sleep(2*time.Second + strict)
					s.start("b")
					time.Sleep(2 * time.Second)
					a.putPlan("b")
					time.Sleep(5 * ttl)
					s.wantRuns("while a drains", "a")
					lose(a)
					time.Sleep(ttl + 3*time.Second + strict)
					s.wantRuns("when a has lost it", "b")
					if !errors.Is(ended, partition.ErrMoved) || !errors.Is(drained, partition.ErrLost) || errors.Is(drained, partition.ErrMoved) {
						s.t.Errorf("the body's context ended with %v, Drain with %v", ended, drained)
					}
					if value != "v" {
						s.t.Errorf("Drain has the value %v", value)
					}
				})
			})
		}
	}
}

// What a body has drained is over with it.
func TestDrainEndsWithTheBody(t *testing.T) {
	bubble(t, partition.Options{Slots: 1}, func(s *scene) {
		a, _, _ := three(s)
		drain := s.last().slot.Drain()
		a.putPlan("b")
		time.Sleep(time.Second)
		if drain.Err() != nil {
			s.t.Errorf("Drain has ended while the body drains: %v", context.Cause(drain))
		}
		time.Sleep(6 * time.Second)
		s.wantRuns("then", "b")
		if drain.Err() == nil {
			s.t.Error("Drain goes on after the body has returned")
		}
	})
}
