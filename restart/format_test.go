package restart_test

import (
	"errors"
	"testing"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

// A checkpoint of an unknown format is refused and left as it is: by who wants
// to claim it, and by who has.
func TestUnknownFormatIsRefused(t *testing.T) {
	const key, newer = "checkpoint/orders/value", `{"format":2,"token":"t","seq":1}`
	bubble(t, func(t *testing.T, _ *memory.Server, a, b *worker) {
		a.claims(0)
		a.saves(5)
		entry, _, err := b.store.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		ops := []backend.Op{driver.Put(key, []byte(newer), entry.Version)}
		if result, err := b.store.Commit(t.Context(), backend.Txn{Ops: ops}); err != nil || !result.Applied {
			t.Fatalf("%v, %v", result.Applied, err)
		}
		if _, _, err := b.Claim(t.Context()); !errors.Is(err, backend.ErrFormat) {
			t.Errorf("Claim = %v, want ErrFormat", err)
		}
		for range 2 {
			if err := a.Save(t.Context(), 6); !errors.Is(err, backend.ErrFormat) || errors.Is(err, backend.ErrIndeterminate) {
				t.Errorf("Save = %v, want ErrFormat and no doubt", err)
			}
		}
		if now, _, err := b.store.Get(t.Context(), key); err != nil || string(now.Value) != newer {
			t.Errorf("the document is %s now, %v", now.Value, err)
		}
	})
}
