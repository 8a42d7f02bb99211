package backend_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

// owned creates a key and returns a guard that stands as long as the key's
// value is one of values.
func owned(t *testing.T, s *backend.Store, key string, values ...string) backend.Guard {
	t.Helper()
	put(t, s, key, values[0])
	return guardOf(t, s, key, values...)
}

func guardOf(t *testing.T, s *backend.Store, key string, values ...string) backend.Guard {
	t.Helper()
	entry, _, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return s.NewGuard(7, []backend.Entry{entry}, func(now map[string]backend.Entry) bool {
		return slices.Contains(values, string(now[key].Value))
	})
}

func create(key string) backend.Txn {
	return backend.Txn{Ops: []backend.Op{driver.Create(key, nil)}}
}

func TestGuardedCommit(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		guard := owned(t, s, "office", "mine", "still mine")
		if guard.Token() != 7 || (backend.Guard{}).Token() != 0 {
			t.Errorf("Token = %d", guard.Token())
		}
		// Catches: versions of the guard's conditions in the result.
		result, err := s.Commit(t.Context(), create("a"), guard)
		if err != nil || !result.Applied || len(result.Versions) != 1 {
			t.Fatalf("standing guard: %+v, %v", result, err)
		}

		// Catches: a guard that is not read again, or not sent with what was
		// read.
		put(t, s, "office", "still mine")
		before := d.Stats().Commits
		result, err = s.Commit(t.Context(), create("b"), guard)
		if err != nil || !result.Applied {
			t.Errorf("guard at a newer version: %+v, %v", result, err)
		}
		if sent := d.Stats().Commits - before; sent != 2 {
			t.Errorf("sent %d times, want 2", sent)
		}
		before = d.Stats().Commits
		if _, err := s.Commit(t.Context(), create("c"), guard); err != nil || d.Stats().Commits-before != 1 {
			t.Errorf("the fresh version was not remembered: %v, sent %d times", err, d.Stats().Commits-before)
		}

		// A reset connection makes all versions old.
		d.Cut()
		d.Heal()
		if result, err := s.Commit(t.Context(), create("d"), guard); err != nil || !result.Applied {
			t.Errorf("guard of an older generation: %+v, %v", result, err)
		}

		// Catches: ErrFenced for the caller's own condition; a loop.
		result, err = s.Commit(t.Context(), create("a"), guard)
		if _, there := result.Current["a"]; err != nil || result.Applied || !there {
			t.Errorf("own condition failed: %+v, %v", result, err)
		}

		put(t, s, "office", "another's")
		result, err = s.Commit(t.Context(), create("e"), guard)
		wantErr(t, err, backend.ErrFenced)
		if result.Applied {
			t.Error("applied under a fallen guard")
		}
		server.Delete("quorate/office")
		_, err = s.Commit(t.Context(), create("e"), guard)
		wantErr(t, err, backend.ErrFenced)
		if _, found, _ := s.Get(t.Context(), "e"); found {
			t.Error("a fallen guard let a commit through")
		}
	})
}

func TestEveryGuardCounts(t *testing.T) {
	// Catches: only the first or last guard refreshed, or sent.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		good := owned(t, s, "good", "mine", "mine too")
		bad := owned(t, s, "bad", "mine")
		if result, err := s.Commit(t.Context(), create("a"), good, bad); err != nil || !result.Applied {
			t.Fatalf("both stand: %+v, %v", result, err)
		}
		put(t, s, "bad", "another's")
		put(t, s, "good", "mine too")
		for _, guards := range [][]backend.Guard{{good, bad}, {bad, good}} {
			_, err := s.Commit(t.Context(), create("b"), guards...)
			wantErr(t, err, backend.ErrFenced)
		}
	})
}

func TestGuardsOnOneKeyEachCount(t *testing.T) {
	// Catches: of two guards on one key, known at different versions, only the
	// first's version sent, so that the second is taken to stand although it
	// has fallen: two slots of one claims key are such guards.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		fallen := owned(t, s, "claims", "1 and 2")
		put(t, s, "claims", "2 alone")
		standing := guardOf(t, s, "claims", "2 alone", "2 and 3")
		for i, guards := range [][]backend.Guard{{standing, fallen}, {fallen, standing}} {
			result, err := s.Commit(t.Context(), create(fmt.Sprint("a", i)), guards...)
			if result.Applied {
				t.Error("applied under a fallen guard")
			}
			wantErr(t, err, backend.ErrFenced)
		}
		put(t, s, "claims", "2 and 3")
		both := guardOf(t, s, "claims", "2 and 3")
		if result, err := s.Commit(t.Context(), create("b"), standing, both, both); err != nil || !result.Applied {
			t.Errorf("both stand: %+v, %v", result, err)
		}
	})
}

func TestGuardsThatMakeNoSense(t *testing.T) {
	// Catches: a guard that guards nothing, or another store's key.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		other, _ := open(t, server, nil)
		guard, foreign := owned(t, s, "office", "mine"), owned(t, other, "foreign", "mine")
		entry, _, _ := s.Get(t.Context(), "office")
		before := d.Stats()
		for name, c := range map[string]struct {
			txn   backend.Txn
			guard backend.Guard
		}{
			"zero":             {create("a"), backend.Guard{}},
			"empty":            {create("a"), s.NewGuard(1, nil, func(map[string]backend.Entry) bool { return true })},
			"foreign":          {create("a"), foreign},
			"key of op":        {backend.Txn{Ops: []backend.Op{driver.Put("office", nil, entry.Version)}}, guard},
			"key of condition": {backend.Txn{Unchanged: []backend.Condition{{Key: "office", Version: entry.Version}}}, guard},
		} {
			result, err := s.Commit(t.Context(), c.txn, c.guard)
			if result.Applied {
				t.Errorf("%s: applied", name)
			}
			wantErr(t, err, backend.ErrInvalid)
		}
		if after := d.Stats(); after != before {
			t.Errorf("requests: %+v, before %+v", after, before)
		}
		// None of the above has left the guard locked.
		if result, err := s.Commit(t.Context(), create("a"), guard); err != nil || !result.Applied {
			t.Errorf("%+v, %v", result, err)
		}
	})
}

func TestGuardedCommitInDoubtIsSentOnce(t *testing.T) {
	// Catches: a guarded commit sent again after ErrIndeterminate.
	bubble(t, func(t *testing.T, server *memory.Server) {
		d := memory.NewDriver(server)
		sent := 0
		f := &fake{Driver: d}
		s := over(t, f, nil)
		guard := owned(t, s, "office", "mine")
		f.commit = func(ctx context.Context, txn driver.Txn) (driver.Result, error) {
			sent++
			if _, err := d.Commit(ctx, txn); err != nil {
				return driver.Result{}, err
			}
			return driver.Result{}, fmt.Errorf("%w: the reply was lost", driver.ErrIndeterminate)
		}
		_, err := s.Commit(t.Context(), create("a"), guard)
		wantErr(t, err, backend.ErrIndeterminate)
		if sent != 1 {
			t.Errorf("sent %d times", sent)
		}
	})
}

func TestGuardIsReadWhenTheRefusalShowsNothing(t *testing.T) {
	// Catches: a nil Result.Current taken for "all keys are gone".
	bubble(t, func(t *testing.T, server *memory.Server) {
		d := memory.NewDriver(server)
		f := &fake{Driver: d}
		s := over(t, f, nil)
		guard := owned(t, s, "office", "mine", "still mine")
		put(t, s, "office", "still mine")
		blind := func(ctx context.Context, txn driver.Txn) (driver.Result, error) {
			result, err := d.Commit(ctx, txn)
			result.Current = nil
			return result, err
		}
		f.commit = blind
		if result, err := s.Commit(t.Context(), create("a"), guard); err != nil || !result.Applied {
			t.Errorf("guard at a newer version: %+v, %v", result, err)
		}
		if result, err := s.Commit(t.Context(), create("a"), guard); err != nil || result.Applied {
			t.Errorf("own condition failed: %+v, %v", result, err)
		}
		put(t, s, "office", "another's")
		_, err := s.Commit(t.Context(), create("b"), guard)
		wantErr(t, err, backend.ErrFenced)
	})
}

func TestGuardsOfSeveralGoroutines(t *testing.T) {
	// Catches (with -race): versions read while another commit takes them anew.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		guard := owned(t, s, "office", "mine")
		put(t, s, "there", "")
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				for range 20 {
					result, err := s.Commit(t.Context(), create("there"), guard) // refused, though not by the guard
					if err != nil || result.Applied {
						t.Errorf("%d: %+v, %v", i, result, err)
					}
				}
			})
		}
		all.Wait()
	})
}
