package refusals

import (
	"context"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/harness"
)

// eachGuarded runs a test on each store with access control on, side by side.
func eachGuarded(t *testing.T, nodes int, test func(t *testing.T, store string, g *guarded)) {
	t.Helper()
	harness.EachStore(t, func(t *testing.T, store harness.Store) {
		start, ok := guardedStores[store.Name]
		if !ok {
			t.Fatalf("there is no %s with access control", store.Name)
		}
		test(t, store.Name, start(t, nodes))
	})
}

// TestPermissionTaken: a process that leaves after its permission to write was
// taken away blocks the others for two TTLs and 2 s at most; when it is given
// back the same objects work.
func TestPermissionTaken(t *testing.T) {
	eachGuarded(t, 1, func(t *testing.T, store string, g *guarded) {
		a := work(t, g.open(t, "a"), "a")
		a.runs(t, 2)
		b := work(t, g.open(t, "b"), "b")
		b.runs(t, 1)
		session, err := a.Session(t.Context())
		must(t, err)
		for len(b.began) > 0 {
			<-b.began
		}
		g.allow(t, "a", false)
		began := time.Now()
		left := make(chan struct{})
		go func() {
			defer close(left)
			_ = a.reg.Leave(t.Context())
			a.stop()
		}()
		b.runs(t, 1)
		took, bound := time.Since(began), 2*ttl+2*time.Second
		t.Logf("%s: the others went on after %v", store, took)
		if slack := 2 * time.Second; took > bound+slack { // the tests have company
			t.Errorf("the others waited %v, at most %v is meant", took, bound)
		}
		<-left
		if session.Valid() {
			t.Error("the session is still there, though nothing could be cleaned up")
		}
		b.lasts(t)
		g.allow(t, "a", true)
		for len(a.ended) > 0 {
			_ = <-a.ended
		}
		a.join(t)
		a.runs(t, 1)
	})
}

// TestPermissionBack: a permission that is back before the refusals are final
// ends nothing.
func TestPermissionBack(t *testing.T) {
	eachGuarded(t, 1, func(t *testing.T, store string, g *guarded) {
		a := work(t, g.open(t, "a"), "a")
		a.runs(t, 2)
		a.serves(t)
		for range 3 {
			g.allow(t, "a", false)
			updated := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				updated <- a.reg.Update(ctx, map[string]string{"at": time.Now().String()})
			}()
			select {
			case err := <-updated:
				t.Errorf("%s: an update without permission: %v", store, err)
			case <-time.After(300 * time.Millisecond):
			}
			g.allow(t, "a", true)
			must(t, <-updated)
		}
		a.lasts(t)
		if len(a.began) > 0 {
			t.Errorf("%s: %d slots began again", store, len(a.began))
		}
	})
}
