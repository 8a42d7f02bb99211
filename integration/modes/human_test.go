package modes

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
)

// TestHumanError: somebody deletes the keys of those who own something, and
// then takes two of three servers away. Who owned it hears of that, and another
// may have it; without a quorum nobody keeps anything beyond its TTL, and all
// are back when the quorum is.
func TestHumanError(t *testing.T) {
	mode(t, func(t *testing.T, c *crew) {
		store := c.admin()
		defer store.Close()
		deleted := time.Now()
		for _, dir := range []string{"election/office", "membership/group/members", "partition/work/claims"} {
			target := driver.Dir(dir)
			if dir == "election/office" {
				target = driver.Key("election/office/tenure/leader")
			}
			entries, err := c.read(store, target)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) == 0 {
				t.Fatalf("nothing is in %s", dir)
			}
			for _, entry := range entries {
				c.deleteKey(t, store.Store, entry.Key)
			}
		}
		// They hear of it, and come back: no session was lost.
		for _, primitive := range primitives {
			if err := patiently(deleted.Add(c.back()+extra(primitive)), func() error { return c.working(primitive, deleted, c.workers) }); err != nil {
				t.Errorf("%s, after its keys were deleted: %v", primitive, err)
			}
		}

		nodes := c.cluster.Nodes()
		for _, node := range nodes[:2] {
			if err := node.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		if err := patiently(time.Now().Add(ttl+hears), c.idle); err != nil {
			t.Errorf("a TTL without a quorum: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, node := range nodes[:2] {
			if err := node.Launch(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.cluster.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		c.recovers(c.writes(), map[string]func(*testing.T){
			"election": func(t *testing.T) { c.neverTwo("election", hears)(t); c.termsGrow(t) },
			"counter":  c.exact,
			"membership": func(t *testing.T) {
				for _, w := range c.workers {
					if err := w.reg.Context().Err(); err != nil {
						t.Errorf("%s is no member: %v", w.id, context.Cause(w.reg.Context()))
					}
				}
			},
			"partition": c.neverTwo("partition", hears),
		})
	})
}

// deleteKey deletes a key by hand.
func (c *crew) deleteKey(t *testing.T, store *backend.Store, key string) {
	t.Helper()
	key = strings.TrimPrefix(key, c.namespace+"/")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := store.Commit(ctx, backend.Txn{Ops: []backend.Op{driver.Delete(key, backend.Version{})}}); err != nil {
		t.Fatal(fmt.Errorf("deleting %s: %w", key, err))
	}
}
