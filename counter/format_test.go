package counter_test

import (
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
)

// newer is a document of a version to come.
const newer = `{"format":2,"value":3}`

// put writes newer to a key, over what is there.
func (p *process) put(t *testing.T, key string) {
	t.Helper()
	entry, found, err := p.store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	op := driver.Create(key, []byte(newer))
	if found {
		op = driver.Put(key, op.Value, entry.Version)
	}
	if result, err := p.store.Commit(t.Context(), backend.Txn{Ops: []backend.Op{op}}); err != nil || !result.Applied {
		t.Fatalf("put %s: %v, %v", key, result.Applied, err)
	}
}

// stands fails unless newer still is what put wrote.
func (p *process) stands(t *testing.T, key string) {
	t.Helper()
	if entry, _, err := p.store.Get(t.Context(), key); err != nil || string(entry.Value) != newer {
		t.Errorf("%s is %s now, %v", key, entry.Value, err)
	}
}

// A counter of an unknown format is refused and left as it is, at first sight
// and when it takes the place of a document that was known.
func TestUnknownFormatIsRefused(t *testing.T) {
	for _, known := range []bool{false, true} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			p, q := start(t, server, nil), start(t, server, nil)
			if known {
				p.add(t, 1, 1)
			}
			q.put(t, "counter/c/value~0")
			for range 2 {
				if _, err := p.Add(t.Context(), 1); !errors.Is(err, backend.ErrFormat) || errors.Is(err, backend.ErrIndeterminate) {
					t.Errorf("Add: %v, want ErrFormat and no doubt", err)
				}
			}
			if _, err := p.CompareAndSet(t.Context(), 3, 4); !errors.Is(err, backend.ErrFormat) {
				t.Errorf("CompareAndSet: %v, want ErrFormat", err)
			}
			if _, err := p.Value(t.Context()); !errors.Is(err, backend.ErrFormat) {
				t.Errorf("Value: %v, want ErrFormat", err)
			}
			p.stands(t, "counter/c/value~0")
		})
	}
}

func TestSequenceUnknownFormat(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		p.put(t, "sequence/s/value~0")
		for range 2 {
			if _, err := p.sequence(t, nil).Next(t.Context()); !errors.Is(err, backend.ErrFormat) {
				t.Errorf("Next: %v, want ErrFormat", err)
			}
		}
		p.stands(t, "sequence/s/value~0")
	})
}

// A Tally keeps what it cannot flush, and flushes it once its shard can be read
// again: in a rolling upgrade that went too far, nothing is lost by going back.
func TestTallyUnknownFormat(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		tally := p.tally(t, &counter.TallyOptions{Shards: 1})
		p.put(t, "tally/t/shards/0~0")
		tally.Add(5)
		time.Sleep(time.Minute)
		if err := tally.Flush(t.Context()); !errors.Is(err, backend.ErrFormat) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Flush: %v, want ErrFormat and no doubt", err)
		}
		if n, err := tally.Total(t.Context()); !errors.Is(err, backend.ErrFormat) {
			t.Errorf("Total: %d, %v, want ErrFormat", n, err)
		}
		p.stands(t, "tally/t/shards/0~0")
		ops := []backend.Op{driver.Delete("tally/t/shards/0~0", backend.Version{})}
		if _, err := p.store.Commit(t.Context(), backend.Txn{Ops: ops}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		total(t, tally, 5)

		p.put(t, "tally/u/shards/0~0")
		closing, err := counter.NewTally(p.store, "u", &counter.TallyOptions{Shards: 1})
		if err != nil {
			t.Fatal(err)
		}
		closing.Add(1)
		if err := closing.Close(); !errors.Is(err, backend.ErrFormat) {
			t.Errorf("Close: %v, want ErrFormat", err)
		}
	})
}
