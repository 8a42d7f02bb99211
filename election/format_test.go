package election_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

// newer is a document of a version to come.
const newer = `{"format":2,"number":9}`

// put writes newer to a key of the election, over what is there.
func put(t *testing.T, store *backend.Store, key string) {
	t.Helper()
	key = "election/test/" + key
	entry, found, err := store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	op := driver.Create(key, []byte(newer))
	if found {
		op = driver.Put(key, op.Value, entry.Version)
	}
	if result, err := store.Commit(t.Context(), driver.Txn{Ops: []driver.Op{op}}); err != nil || !result.Applied {
		t.Fatalf("put %s: %v, %v", key, result.Applied, err)
	}
}

// stands fails unless newer still is what put wrote.
func stands(t *testing.T, store *backend.Store, key string) {
	t.Helper()
	if entry, _, err := store.Get(t.Context(), "election/test/"+key); err != nil || string(entry.Value) != newer {
		t.Errorf("%s is %s now, %v", key, entry.Value, err)
	}
}

// Each document of an unknown format is refused, and left as it is.
func TestUnknownFormatIsRefused(t *testing.T) {
	for _, key := range []string{"queue/NONCE-1", "office", "term", "tenure/7~x"} {
		synctest.Test(t, func(t *testing.T) {
			server := memory.NewServer()
			store := open(t, server)
			put(t, store, key)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			e := candidate(t, store, nil)
			if _, err := e.Campaign(ctx); !errors.Is(err, backend.ErrFormat) {
				t.Errorf("Campaign with a %s of another format = %v, want ErrFormat", key, err)
			}
			err := e.Run(ctx, func(context.Context, *election.Leadership) error {
				t.Error("it led")
				return nil
			})
			if !errors.Is(err, backend.ErrFormat) {
				t.Errorf("Run with a %s of another format = %v, want ErrFormat", key, err)
			}
			if n := ephemerals(server); n != 0 {
				t.Errorf("%d keys are left", n)
			}
			stands(t, store, key)
			if key != "office" {
				return
			}
			if _, err := e.Leader(ctx); !errors.Is(err, backend.ErrFormat) {
				t.Errorf("Leader = %v, want ErrFormat", err)
			}
			for leader, err := range e.Observe(ctx) {
				if !errors.Is(err, backend.ErrFormat) {
					t.Errorf("Observe: %v, %v, want ErrFormat", leader, err)
				}
			}
		})
	}
}

// A leader under whose hands a document takes an unknown format steps down, and
// writes over none.
func TestUnknownFormatEndsALeadership(t *testing.T) {
	for _, key := range []string{"office", "term"} {
		synctest.Test(t, func(t *testing.T) {
			server := memory.NewServer()
			store := open(t, server)
			e := candidate(t, store, nil)
			ran := make(chan error, 1)
			var cause error
			go func() {
				ran <- e.Run(t.Context(), func(ctx context.Context, _ *election.Leadership) error {
					<-ctx.Done()
					cause = context.Cause(ctx)
					return cause
				})
			}()
			time.Sleep(time.Second)
			put(t, open(t, server), key)
			if err := <-ran; !errors.Is(err, backend.ErrFormat) {
				t.Errorf("Run with a %s of another format = %v, want ErrFormat", key, err)
			}
			if !errors.Is(cause, election.ErrLost) {
				t.Errorf("the body's context ended with %v, want ErrLost", cause)
			}
			stands(t, store, key)
		})
	}
}

// Whoever leads, resigns cleanly beside a candidate of a version to come.
func TestResignBesideAnUnknownCandidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		store := open(t, server)
		lead := campaign(t, candidate(t, store, nil))
		put(t, store, "queue/NONCE-1")
		resign(t, lead)
		if n := ephemerals(server); n != 0 {
			t.Errorf("%d keys are left", n)
		}
		stands(t, store, "queue/NONCE-1")
	})
}
