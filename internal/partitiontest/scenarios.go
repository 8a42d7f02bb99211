package partitiontest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/internal/document"
	"github.com/quorate/quorate/partition"
)

// spreadAndLeave: slots spread over those who come; who leaves hands over, and
// only what has to move does.
func spreadAndLeave(t *testing.T, env *drivertest.Env) {
	f := newCalmField(env, partition.Options{Slots: 24})
	f.start(t, "a")
	f.reaches(t, 5*time.Second, "a:24")
	f.start(t, "b")
	f.reaches(t, 5*time.Second, "a:12 b:12")
	c := f.start(t, "c")
	f.reaches(t, 5*time.Second, "a:8 b:8 c:8")
	before := time.Now()
	c.leave(t)
	f.reaches(t, 5*time.Second, "a:12 b:12")
	gaps := f.gaps(before)
	if len(gaps) != 8 {
		t.Errorf("%d slots moved when one of three left, want 8", len(gaps))
	}
	t.Logf("ownerless after a leave: median %v, max %v", gaps[len(gaps)/2], gaps[len(gaps)-1])
	f.finish(t, 0)
}

// silencedMember: the slots of a member that is cut off go to the other, and
// come back, and are never run twice.
func silencedMember(t *testing.T, env *drivertest.Env) {
	f := newField(env, partition.Options{Slots: 8})
	a := f.start(t, "a")
	f.start(t, "b")
	f.reaches(t, 5*time.Second, "a:4 b:4")
	env.Silence(t, a.driver)
	f.reaches(t, env.Expiry+env.TTL+2*time.Second, "b:8")
	env.Heal(t, a.driver)
	f.reaches(t, 2*env.TTL+10*time.Second, "a:4 b:4")
	f.finish(t, 0)
}

// guardRefuses: a guard stands over moves of other slots, and refuses once the
// slot is another's.
func guardRefuses(t *testing.T, env *drivertest.Env) {
	f := newCalmField(env, partition.Options{Slots: 4})
	a := f.start(t, "a")
	f.reaches(t, 5*time.Second, "a:4")
	first := append([]*span(nil), f.spans...)
	f.start(t, "b")
	f.reaches(t, 5*time.Second, "a:2 b:2")
	for i, s := range first {
		_, err := a.store.Commit(t.Context(), driver.Txn{
			Ops: []driver.Op{driver.Create("data/"+string(rune('a'+i)), nil)},
		}, s.slot.Guard())
		switch {
		case s.end.IsZero() && err != nil:
			t.Errorf("a guard of a slot that stayed: %v", err)
		case !s.end.IsZero():
			wantFenced(t, "a guard of a slot that has moved", err)
		}
	}
	f.finish(t, 0)
}

// deleteByHand deletes the keys of the partition below a directory of it.
func (f *field) deleteByHand(t testing.TB, store *backend.Store, target driver.Target) {
	t.Helper()
	read, err := store.Read(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if len(read[0]) == 0 {
		t.Fatalf("there is nothing in %s", target.Path)
	}
	for _, e := range read[0] {
		if _, err := store.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Delete(e.Key, backend.Version{})}}); err != nil {
			t.Fatal(err)
		}
	}
}

func keysDeletedByHand(t *testing.T, env *drivertest.Env) {
	deletedByHand(t, env, newField(env, partition.Options{Slots: 6}), notification)
}

func keysDeletedByHandStrict(t *testing.T, env *drivertest.Env) {
	// The store may grant a longer TTL than it is asked for.
	deletedByHand(t, env, newField(env, partition.Options{Slots: 6, Strict: env.TTL + time.Second}), 0)
}

// deletedByHand: whatever is deleted by hand heals.
func deletedByHand(t *testing.T, env *drivertest.Env, f *field, allowed time.Duration) {
	f.start(t, "a")
	f.start(t, "b")
	heals := f.opts.Strict + 2*env.TTL + 5*time.Second
	f.reaches(t, heals, "a:3 b:3")
	_, hand := f.open(t)
	t.Cleanup(func() { _ = hand.Close() })
	for _, target := range []driver.Target{
		driver.Key("partition/p/plan"), driver.Dir("partition/p/line"), driver.Dir("partition/p/claims"),
	} {
		f.deleteByHand(t, hand, target)
		// Where there is no mark each member makes one first. One that lands
		// after the other has made its new line of it is left, until the next.
		eventually(t, heals, "what was deleted is there again", func() error { return f.whole(t, hand, 2, 1) })
		f.reaches(t, heals, "a:3 b:3")
	}
	f.finish(t, allowed)
}

// restored: the store goes back to a backup. It heals, and a guard from after
// the backup refuses.
func restored(t *testing.T, env *drivertest.Env) {
	f := newField(env, partition.Options{Slots: 6})
	f.start(t, "a")
	f.reaches(t, 5*time.Second, "a:6")
	restore := env.Snapshot(t)
	b := f.start(t, "b")
	f.reaches(t, 5*time.Second, "a:3 b:3")
	var old []*span
	for _, s := range f.spans {
		if s.who == "b" {
			old = append(old, s)
		}
	}
	restore()
	eventually(t, 5*time.Second, "b stops", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, s := range old {
			if s.end.IsZero() {
				return backend.ErrFormat
			}
		}
		return nil
	})
	f.reaches(t, 2*env.Expiry+2*env.TTL+10*time.Second, "a:3 b:3")
	for _, s := range old {
		_, err := b.store.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create("data/x", nil)}}, s.slot.Guard())
		wantFenced(t, "a guard from before the restore", err)
	}
	f.finish(t, notification)
}

// largePlan: many slots, each with a body, move in a few commits. (That the most
// there may be fit into a plan is for package partition to test. Thousands of
// bodies that begin at once cost the race detector seconds, which would measure
// the machine.)
func largePlan(t *testing.T, env *drivertest.Env) {
	f := newCalmField(env, partition.Options{Slots: 1024})
	f.start(t, "a")
	f.reaches(t, 20*time.Second, "a:1024")
	before := time.Now()
	f.start(t, "b")
	f.reaches(t, 20*time.Second, "a:512 b:512")
	if gaps := f.gaps(before); len(gaps) != 512 {
		t.Errorf("%d slots moved, want 512", len(gaps))
	}
	_, store := f.open(t)
	t.Cleanup(func() { _ = store.Close() })
	if err := f.whole(t, store, 2, 0); err != nil {
		t.Error(err)
	}
}

// whole returns an error unless the store has a plan, its mark and claims of so
// many members, and nothing else but so many marks beside it at most.
func (f *field) whole(t testing.TB, store *backend.Store, members, spare int) error {
	t.Helper()
	read, err := store.Read(t.Context(), driver.Key("partition/p/plan"), driver.Dir("partition/p/line"), driver.Dir("partition/p/claims"))
	if err != nil {
		return err
	}
	var plan struct{ Line string }
	if len(read[0]) == 1 {
		if err := document.Decode(read[0][0].Value, 1, &plan); err != nil {
			return err
		}
	}
	marked := slices.ContainsFunc(read[1], func(e backend.Entry) bool { return e.Key == "partition/p/line/"+plan.Line })
	if marked && len(read[1]) <= 1+spare && len(read[2]) == members {
		return nil
	}
	var keys []string
	for _, e := range slices.Concat(read...) {
		keys = append(keys, e.Key)
	}
	return fmt.Errorf("want a plan, its mark, at most %d others and %d claims, there are the keys %q", spare, members, keys)
}
