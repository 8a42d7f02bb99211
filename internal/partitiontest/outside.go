package partitiontest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/partition"
)

// lookedUpFromOutside: a process that is no member learns the owner of each key and
// its token, and of each move, also one that it asks for at once.
func lookedUpFromOutside(t *testing.T, env *drivertest.Env) {
	f := newCalmField(env, partition.Options{Slots: 8})
	_, store := f.open(t)
	defer store.Close()
	router, err := partition.NewRouter(store, "p")
	if err != nil {
		t.Fatal(err)
	}
	defer router.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a := f.start(t, "a")
	f.start(t, "b")
	f.reaches(t, 5*time.Second, "a:4 b:4")
	f.agrees(ctx, t, router)
	key, moves := "", partition.Owner{}
	for i := 0; moves.Member.ID != "a"; i++ {
		key = fmt.Sprint("key-", i)
		moves, _ = router.Owner(key)
	}
	a.leave(t)
	next, err := router.Await(ctx, key, moves)
	if err != nil || next.Member.ID != "b" || next.Token <= moves.Token {
		t.Errorf("after %+v: %+v, %v", moves, next, err)
	}
	f.reaches(t, 5*time.Second, "b:8")
	f.agrees(ctx, t, router)
	if age := router.Age(); age > f.ttl {
		t.Errorf("the answers are said to be %v old", age)
	}
	f.finish(t, 0)
}

// agrees waits until a Router names the running owner of every slot, with its
// token.
func (f *field) agrees(ctx context.Context, t testing.TB, router *partition.Router) {
	t.Helper()
	if err := router.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	running := make(map[int]*span)
	for _, s := range f.copied() {
		if !f.ended(s) {
			running[s.slot.Number()] = s
		}
	}
	for i := range 20 * f.opts.Slots {
		key := fmt.Sprint("key-", i)
		s := running[partition.SlotOf(key, f.opts.Slots)]
		right := func(o partition.Owner) bool {
			return o.Slot == s.slot.Number() && o.Token == s.slot.Token() && o.Member.ID == s.who
		}
		for owner, _ := router.Owner(key); !right(owner); {
			var err error
			if owner, err = router.Await(ctx, key, owner); err != nil {
				t.Fatalf("the owner of %s is said to be %+v, it is %s with token %d: %v", key, owner, s.who, s.slot.Token(), err)
			}
		}
	}
}
