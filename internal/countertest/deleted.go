package countertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/drivertest"
)

// deleted: a counter and a sequence are deleted while they are used. One key stays
// for each kind, adds begin at zero, an add that was given up before is not applied
// after, and no number comes again.
func deleted(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env, nil), open(t, env, nil)
	s, r := p.sequence(t), q.sequence(t)
	numbers := make(map[uint64]bool)
	for round := range 3 {
		p.add(t, 5, 5)
		env.Silence(t, p.driver)
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := p.Add(short, 100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Add in silence: %v", err)
		}
		cancel()
		before, err := q.Value(patient(t))
		if err != nil || before != 5 && before != 105 {
			t.Errorf("the value is %d, %v", before, err)
		}
		if err := errors.Join(q.Delete(patient(t)), r.Delete(patient(t))); err != nil {
			t.Error(err)
		}
		q.add(t, 7, 7)
		env.Heal(t, p.driver)
		// The first commit may go to the document that is gone, and its reply be lost:
		// then nobody knows whether it came before the deletion.
		if got, err := p.Add(patient(t), 1); errors.Is(err, backend.ErrIndeterminate) {
			p.add(t, 1, 8)
		} else if err != nil || got != 8 {
			t.Errorf("Add(1) = %d, %v, want 8", got, err)
		}
		for range 40 {
			for _, n := range []uint64{next(t, s), next(t, r)} {
				if numbers[n] {
					t.Errorf("round %d: %d twice", round, n)
				}
				numbers[n] = true
			}
		}
		if err := errors.Join(q.Delete(patient(t)), r.Delete(patient(t))); err != nil {
			t.Error(err)
		}
	}
	read, err := q.store.Read(patient(t), backend.Dir("counter/c"), backend.Dir("counter"))
	if err != nil || len(read[0]) != 0 || len(read[1]) != 1 {
		t.Errorf("left: %v, %v", read, err)
	}
}
