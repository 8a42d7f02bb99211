package restart_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/restart"
)

// worker is one process with a checkpoint, over a driver that fails as told.
type worker struct {
	*restart.Checkpoint[int]
	store  *backend.Store
	faults *faults.Driver
	t      *testing.T
}

func newWorker(t *testing.T, server *memory.Server) *worker {
	t.Helper()
	w := &worker{faults: faults.Wrap(memory.NewDriver(server)), t: t}
	var err error
	if w.store, err = backend.New(w.faults, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if w.Checkpoint, err = restart.NewCheckpoint[int](w.store, "orders", nil); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *worker) claims(want int) {
	w.t.Helper()
	if got, _, err := w.Claim(w.t.Context()); err != nil || got != want {
		w.t.Errorf("Claim = %d, %v, want %d", got, err, want)
	}
}

func (w *worker) saves(value int) {
	w.t.Helper()
	if err := w.Save(w.t.Context(), value); err != nil {
		w.t.Errorf("Save(%d): %v", value, err)
	}
}

// gives up a Save after a second.
func (w *worker) givesUp(value int) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	return w.Save(ctx, value)
}

func bubble(t *testing.T, test func(t *testing.T, server *memory.Server, a, b *worker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		test(t, server, newWorker(t, server), newWorker(t, server))
	})
}

func TestClaimReturnsWhatWasSaved(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server, a, b *worker) {
		a.claims(0)
		a.saves(1)
		a.saves(2)
		b.claims(2)
		if err := a.Save(t.Context(), 3); !errors.Is(err, backend.ErrFenced) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Save by another = %v, want ErrFenced and no doubt", err)
		}
		b.saves(4)
		if err := a.Save(t.Context(), 5); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("Save after a fence = %v", err)
		}
		a.claims(4) // and back
		a.saves(6)
		if err := b.Save(t.Context(), 7); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("Save by another = %v", err)
		}
		entries := server.Entries()
		if len(entries) != 1 || entries[0].Key != "quorate/checkpoint/orders/value" || !bytes.HasPrefix(entries[0].Value, []byte(`{"format":1,"token":"`)) || !bytes.HasSuffix(entries[0].Value, []byte(`","seq":1,"value":6}`)) {
			t.Errorf("stored: %+v", entries)
		}
	})
}

func TestOneCommitASave(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, a, _ *worker) {
		a.claims(0)
		reads, commits := a.faults.Calls(faults.Read), a.faults.Calls(faults.Commit)
		for i := range 10 {
			a.saves(i)
		}
		if r, c := a.faults.Calls(faults.Read)-reads, a.faults.Calls(faults.Commit)-commits; r != 0 || c != 10 {
			t.Errorf("ten saves took %d reads and %d commits", r, c)
		}
	})
}

func TestALostReplyIsSettled(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, a, b *worker) {
		a.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		a.claims(0)
		a.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		commits := a.faults.Calls(faults.Commit)
		a.saves(1)
		if n := a.faults.Calls(faults.Commit) - commits; n != 1 {
			t.Errorf("a save that landed was sent %d times", n)
		}
		a.faults.Next(faults.Commit, faults.Fault{Refuse: true})
		a.saves(2)
		b.claims(2)
	})
}

// TestALateSaveOverwritesNothing: the first attempt lands when a later save was
// acknowledged, of the same owner or of the next.
func TestALateSaveOverwritesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server, a, b *worker) {
		a.claims(0)
		a.faults.Next(faults.Commit, faults.Fault{LandLater: time.Minute})
		a.saves(1) // by a second attempt
		a.saves(2)
		time.Sleep(2 * time.Minute)
		b.claims(2)
		b.faults.Next(faults.Commit, faults.Fault{LandLater: time.Minute})
		b.saves(3)
		a.claims(3)
		time.Sleep(2 * time.Minute)
		a.saves(4)
		b.claims(4)
	})
}

// TestALateClaimFencesNobodyAfterIt.
func TestALateClaimFencesNobodyAfterIt(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, a, b *worker) {
		a.faults.Next(faults.Commit, faults.Fault{LandLater: time.Minute})
		a.claims(0) // by a second attempt
		time.Sleep(2 * time.Minute)
		a.saves(1)
		a.faults.Next(faults.Commit, faults.Fault{LandLater: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		a.faults.Next(faults.Read, faults.Fault{}) // the claim's read
		a.faults.Next(faults.Read, faults.Fault{Delay: time.Hour})
		if _, _, err := a.Claim(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Claim = %v", err)
		}
		cancel()
		if err := a.Save(t.Context(), 2); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("Save after a Claim that failed = %v", err)
		}
		b.claims(1)
		time.Sleep(2 * time.Minute)
		b.saves(3)
	})
}

func TestWhoGivesUpGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, a, b *worker) {
		a.claims(0)
		// It landed, and its caller never knew.
		a.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		a.faults.Next(faults.Read, faults.Fault{Delay: time.Hour})
		if err := a.givesUp(1); !errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, backend.ErrFenced) {
			t.Errorf("Save given up = %v, want ErrIndeterminate with the cause", err)
		}
		b.claims(1)
		if err := a.givesUp(2); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("Save by another = %v", err)
		}
		a.claims(1)
		// It lands later, after the next.
		a.faults.Next(faults.Commit, faults.Fault{LandLater: time.Minute})
		a.faults.Next(faults.Read, faults.Fault{Delay: time.Hour})
		if err := a.givesUp(3); !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Save given up = %v", err)
		}
		a.saves(4)
		time.Sleep(2 * time.Minute)
		b.claims(4)
		// It was never sent.
		b.faults.Partition(true)
		if err := b.givesUp(5); !errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Save across a partition = %v, want ErrUnavailable and no doubt", err)
		}
		b.faults.Partition(false)
		b.saves(6)
		a.claims(6)
	})
}

// TestFencedInDoubt: the save landed, or not, before another claimed.
func TestFencedInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, a, b *worker) {
		a.claims(0)
		a.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		a.faults.Next(faults.Read, faults.Fault{Delay: 2 * time.Second})
		time.AfterFunc(time.Second, func() { b.claims(1) })
		if err := a.Save(t.Context(), 1); !errors.Is(err, backend.ErrFenced) || !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Save = %v, want ErrFenced and ErrIndeterminate", err)
		}
		if err := a.Save(t.Context(), 2); !errors.Is(err, backend.ErrFenced) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("the next Save = %v, want ErrFenced and no doubt", err)
		}
	})
}

// TestTheGuardIsACondition of both.
func TestTheGuardIsACondition(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server, a, b *worker) {
		office := func(w *worker, name string) backend.Guard {
			result, err := w.store.Commit(t.Context(), backend.Txn{Ops: []backend.Op{driver.Create("office/"+name, nil)}})
			if err != nil {
				t.Fatal(err)
			}
			entry := backend.Entry{Key: "office/" + name, Version: result.Versions[0]}
			return w.store.NewGuard(7, []backend.Entry{entry}, func(map[string]backend.Entry) bool { return true })
		}
		guard := office(a, "1")
		if _, _, err := a.Claim(t.Context(), guard); err != nil {
			t.Fatal(err)
		}
		a.saves(1)
		server.Delete("quorate/office/1")
		if err := a.Save(t.Context(), 2); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("Save without its guard = %v", err)
		}
		if _, _, err := a.Claim(t.Context(), guard); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("Claim without its guard = %v", err)
		}
		if _, _, err := b.Claim(t.Context(), backend.Guard{}); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("Claim with a zero guard = %v", err)
		}
		if _, _, err := b.Claim(t.Context(), office(b, "2"), office(b, "3")); err != nil {
			t.Errorf("Claim with two guards = %v", err)
		}
		b.saves(3)
		a.claims(3) // no guard: the token alone fences
	})
}

func TestDeletedWipedRestored(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server, a, b *worker) {
		a.claims(0)
		a.saves(1)
		snapshot := server.Snapshot()
		a.saves(2)
		server.Restore(snapshot)
		a.saves(3) // its token is in the backup
		b.claims(3)
		server.Restore(snapshot)
		if err := b.Save(t.Context(), 4); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("Save of a claim that the backup does not know = %v", err)
		}
		b.claims(1)
		server.Wipe()
		if err := b.Save(t.Context(), 5); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("Save after a wipe = %v", err)
		}
		b.claims(0)
		b.saves(6)
		server.Delete("quorate/checkpoint/orders/value")
		if err := b.Save(t.Context(), 7); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("Save after a deletion = %v", err)
		}
		a.claims(0)
	})
}

func TestALongOutage(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server, a, b *worker) {
		a.claims(0)
		server.SetDown(true)
		began := time.Now()
		time.AfterFunc(time.Hour, func() { server.SetDown(false) })
		a.saves(1)
		if took := time.Since(began); took < time.Hour || took > time.Hour+2*time.Second {
			t.Errorf("Save took %v across an outage of an hour", took)
		}
		server.SetDown(true)
		time.AfterFunc(time.Hour, func() { server.SetDown(false) })
		b.claims(1)
	})
}

func TestCheckpointMethodsGoOneAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, a, b *worker) {
		a.claims(0)
		a.faults.Next(faults.Commit, faults.Fault{Delay: time.Second})
		done := make(chan struct{})
		go func() { defer close(done); a.saves(1) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errWork)
		defer cancel()
		if err := a.Save(ctx, 2); !errors.Is(err, errWork) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Save that never had its turn = %v", err)
		}
		if err := a.Save(ctx, 2); !errors.Is(err, errWork) {
			t.Errorf("Save with a context that has ended = %v", err)
		}
		if _, _, err := a.Claim(ctx); !errors.Is(err, errWork) {
			t.Errorf("Claim with a context that has ended = %v", err)
		}
		<-done
		b.claims(1)
	})
}

// order is progress as a service would keep it.
type order struct {
	Next  int       `json:"next"`
	Since time.Time `json:"since"`
	Note  string    `json:"note,omitempty"`
}

func TestCodecs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := memory.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		typed, err := restart.NewCheckpoint[*order](store, "a/b", nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := restart.NewCheckpoint(store, "raw", &restart.CheckpointOptions[string]{
			Encode: func(s string) ([]byte, error) {
				if s == "bad" {
					return nil, errWork
				}
				return []byte(s), nil
			},
			Decode: func(b []byte) (string, error) { return "<" + string(b) + ">", nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		if typed.Name() != "a/b" {
			t.Errorf("Name = %q", typed.Name())
		}
		if v, _, err := typed.Claim(t.Context()); err != nil || v != nil {
			t.Errorf("Claim of nothing = %v, %v", v, err)
		}
		want := order{Next: 7, Since: time.Now().UTC(), Note: `<"ü">`}
		if err := typed.Save(t.Context(), &want); err != nil {
			t.Fatal(err)
		}
		if v, _, err := typed.Claim(t.Context()); err != nil || *v != want {
			t.Errorf("Claim = %+v, %v", v, err)
		}
		if v, _, err := raw.Claim(t.Context()); err != nil || v != "" {
			t.Errorf("Claim of nothing = %q, %v", v, err)
		}
		for _, s := range []string{"", "\x00\xff"} {
			if err := raw.Save(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if v, _, err := raw.Claim(t.Context()); err != nil || v != "<"+s+">" {
				t.Errorf("Claim = %q, %v", v, err)
			}
		}
		if err := raw.Save(t.Context(), "bad"); !errors.Is(err, backend.ErrInvalid) || !errors.Is(err, errWork) {
			t.Errorf("Save of what cannot be encoded = %v", err)
		}
		if err := raw.Save(t.Context(), "good"); err != nil {
			t.Errorf("Save after that = %v", err)
		}
		// Another type: its owner is left in peace.
		other, err := restart.NewCheckpoint[int](store, "raw", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := other.Claim(t.Context()); !errors.Is(err, backend.ErrFormat) {
			t.Errorf("Claim as another type = %v, want ErrFormat", err)
		}
		if err := raw.Save(t.Context(), "still"); err != nil {
			t.Errorf("Save after a failed claim = %v", err)
		}
	})
}

func TestSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := memory.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		c, err := restart.NewCheckpoint[string](store, strings.Repeat("n", 100), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Claim(t.Context()); err != nil {
			t.Fatal(err)
		}
		fits := strings.Repeat("x", 247<<10)
		if err := c.Save(t.Context(), fits); err != nil {
			t.Errorf("Save of 247 KiB: %v", err)
		}
		err = c.Save(t.Context(), fits+strings.Repeat("x", 1<<10))
		if !errors.Is(err, backend.ErrTooLarge) || !strings.Contains(err.Error(), "at most 253952 are allowed") {
			t.Errorf("Save of 248 KiB = %v, want ErrTooLarge with the numbers", err)
		}
		if v, _, err := c.Claim(t.Context()); err != nil || v != fits {
			t.Errorf("Claim = %d bytes, %v", len(v), err)
		}
		if err := c.Save(t.Context(), "small"); err != nil {
			t.Errorf("Save after one that was too large: %v", err)
		}
	})
}

func TestBadCheckpoints(t *testing.T) {
	store, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	encode := func(int) ([]byte, error) { return nil, nil }
	for name, c := range map[string]struct {
		store   *backend.Store
		name    string
		options *restart.CheckpointOptions[int]
	}{
		"no store":      {nil, "a", nil},
		"no name":       {store, "", nil},
		"long name":     {store, strings.Repeat("a", 101), nil},
		"half a codec":  {store, "a", &restart.CheckpointOptions[int]{Encode: encode}},
		"broken string": {store, "\xff", nil},
	} {
		if _, err := restart.NewCheckpoint(c.store, c.name, c.options); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	c, err := restart.NewCheckpoint[func()](store, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(t.Context(), func() {}); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("Save of a function = %v", err)
	}
	if err := c.Save(t.Context(), nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("Save without a claim = %v", err)
	}
}
