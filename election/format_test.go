package election_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

// newer is a document of a version to come.
const newer = `{"format":99,"number":9}`

// plant creates a key of the election under the session of store: what a
// process of a version to come would have there.
func plant(t *testing.T, store *backend.Store, key string) {
	t.Helper()
	session, err := store.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	result, err := store.Commit(t.Context(), driver.Txn{
		Ops: []driver.Op{driver.CreateEphemeral("election/test/"+key, []byte(newer))}, Lease: session.ID(),
	})
	if err != nil || !result.Applied {
		t.Fatalf("plant %s: %v, %v", key, result.Applied, err)
	}
}

// TestUnknownFormatBlocksForItsSession: a candidate waits behind an entry and a
// leader key that it cannot read, as long as their session lives. It says so.
func TestUnknownFormatBlocksForItsSession(t *testing.T) {
	for _, key := range []string{"queue/NONCE-1", "tenure/leader"} {
		t.Run(key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { unknownFormatBlocks(t, key) })
		})
	}
}

func unknownFormatBlocks(t *testing.T, key string) {
	server := memory.NewServer()
	unknown := open(t, server)
	plant(t, unknown, key)
	var log lockedBuffer
	store, err := memory.Open(server, &backend.Options{TTL: ttl, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	e := candidate(t, store, nil)
	won := wins(t, e)
	time.Sleep(time.Minute)
	synctest.Wait()
	select {
	case lead := <-won:
		t.Fatalf("term %d began beside %s of an unknown format", lead.Term(), key)
	default:
	}
	if said := log.take(); strings.Count(said, "cannot be read") != 1 || !strings.Contains(said, key) {
		t.Errorf("the log does not report %s once:\n%s", key, said)
	}
	if key == "tenure/leader" {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.Leader(ctx); !errors.Is(err, backend.ErrFormat) {
			t.Errorf("Leader = %v, want ErrFormat", err)
		}
		for leader, err := range e.Observe(ctx) {
			if !errors.Is(err, backend.ErrFormat) {
				t.Errorf("Observe: %v, %v, want ErrFormat", leader, err)
			}
		}
	}
	session, err := unknown.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server.Expire(session.ID())
	synctest.Wait()
	select {
	case lead := <-won:
		resign(t, lead)
	default:
		t.Errorf("nobody leads though the session of %s has ended", key)
	}
}

// TestUnknownMarksBlockNobody: the name of a mark has its number. A key that no
// session owns is in the way of nobody.
func TestUnknownMarksBlockNobody(t *testing.T) {
	for _, key := range []string{"tenure/7~x", "tenure/nonsense", "queue/NONCE-1"} {
		synctest.Test(t, func(t *testing.T) {
			server := memory.NewServer()
			store := open(t, server)
			op := driver.Create("election/test/"+key, []byte(newer))
			if result, err := store.Commit(t.Context(), driver.Txn{Ops: []driver.Op{op}}); err != nil || !result.Applied {
				t.Fatalf("create %s: %v, %v", key, result.Applied, err)
			}
			lead := campaign(t, candidate(t, store, nil))
			if key == "tenure/7~x" && lead.Term() != 8 {
				t.Errorf("term %d after a mark with 7", lead.Term())
			}
			resign(t, lead)
		})
	}
}

// TestUnknownFormatEndsALeadership: a leader under whose hands the leader key
// takes an unknown format steps down, and does not write over it.
func TestUnknownFormatEndsALeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		store := open(t, server)
		lead := campaign(t, candidate(t, store, nil))
		entry, _, err := store.Get(t.Context(), "election/test/tenure/leader")
		if err != nil {
			t.Fatal(err)
		}
		put := driver.Txn{Ops: []driver.Op{driver.Put(entry.Key, []byte(newer), entry.Version)}}
		if result, err := open(t, server).Commit(t.Context(), put); err != nil || !result.Applied {
			t.Fatal(result.Applied, err)
		}
		<-lead.Context().Done()
		if cause := context.Cause(lead.Context()); !errors.Is(cause, election.ErrLost) || !errors.Is(cause, backend.ErrFormat) {
			t.Errorf("the leadership ended with %v, want ErrLost and ErrFormat", cause)
		}
		resign(t, lead)
		if now, _, err := store.Get(t.Context(), entry.Key); err != nil || string(now.Value) != newer {
			t.Errorf("the leader key is %s now, %v", now.Value, err)
		}
	})
}

// A leader resigns cleanly beside a candidate of a version to come.
func TestResignBesideAnUnknownCandidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		store := open(t, server)
		lead := campaign(t, candidate(t, store, nil))
		plant(t, open(t, server), "queue/NONCE-1")
		resign(t, lead)
		if n := ephemerals(server); n != 1 {
			t.Errorf("%d keys are left, want the unknown candidate's", n)
		}
	})
}
