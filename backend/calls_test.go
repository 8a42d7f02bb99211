package backend_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

var errUnclassified = errors.New("of no kind")

func TestACommitIsSentAgainOnlyIfItSurelyDidNotApply(t *testing.T) {
	native := errors.New("native")
	for _, c := range []struct {
		err   error
		again bool
	}{
		{driver.ErrUnavailable, true},
		// Catches: a retry of what may have been applied, also when a driver
		// wraps both.
		{driver.ErrIndeterminate, false},
		{fmt.Errorf("%w: %w", driver.ErrIndeterminate, driver.ErrUnavailable), false},
		{driver.ErrSessionLost, false},
		{driver.ErrDenied, false},
		{driver.ErrTooLarge, false},
		{driver.ErrInvalid, false},
		{driver.ErrClosed, false},
		{errUnclassified, false},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			bubble(t, func(t *testing.T, _ *memory.Server) {
				sent := 0
				var doubts log[backend.CommitIndeterminate]
				s := over(t, &fake{commit: func(context.Context, driver.Txn) (driver.Result, error) {
					if sent++; sent > 1 {
						return driver.Result{Applied: true}, nil
					}
					return driver.Result{}, fmt.Errorf("%w: %w", c.err, native)
				}}, &backend.Options{Trace: &backend.Trace{CommitIndeterminate: doubts.add}})
				result, err := s.Commit(t.Context(), create("k"))
				if c.again {
					if err != nil || !result.Applied || sent != 2 {
						t.Errorf("sent %d times: %+v, %v", sent, result, err)
					}
					return
				}
				wantErr(t, err, c.err, native)
				if sent != 1 || result.Applied {
					t.Errorf("sent %d times, %+v", sent, result)
				}
				// Catches: a doubt that is not traced, or traced without the keys.
				// What a driver did not classify is in doubt too.
				doubt := errors.Is(c.err, driver.ErrIndeterminate) || errors.Is(c.err, errUnclassified)
				if doubt {
					wantErr(t, err, driver.ErrIndeterminate)
				}
				if got := doubts.all(); doubt != (len(got) == 1) {
					t.Errorf("traced: %+v", got)
				} else if doubt && (!slices.Equal(got[0].Keys, []string{"k"}) || !errors.Is(got[0].Err, native)) {
					t.Errorf("traced: %+v", got)
				}
			})
		})
	}
}

func TestACommitInDoubtOnASilentStore(t *testing.T) {
	// Catches: doubt taken for "not applied" when CallTimeout ends the call.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, &backend.Options{CallTimeout: 2 * time.Second})
		d.Mute()
		passed := since()
		_, err := s.Commit(t.Context(), create("k"))
		wantErr(t, err, backend.ErrIndeterminate)
		wantTime(t, "Commit returned", passed(), 2*time.Second)
		if n := d.Stats().Commits; n != 1 {
			t.Errorf("sent %d times", n)
		}
		d.Heal()
		if _, found, err := s.Get(t.Context(), "k"); !found || err != nil {
			t.Errorf("it was applied, but: %v, %v", found, err)
		}
	})
}

func TestACommitOnAStoreThatIsAway(t *testing.T) {
	// Catches: CallTimeout not applied to the retries.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		d.Cut()
		passed := since()
		_, err := s.Commit(t.Context(), create("k"))
		wantErr(t, err, backend.ErrUnavailable)
		if errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("in doubt: %v", err)
		}
		wantTime(t, "Commit returned", passed(), 5*time.Second)
		time.AfterFunc(3*time.Second, d.Heal)
		if result, err := s.Commit(t.Context(), create("k")); err != nil || !result.Applied {
			t.Errorf("store back in time: %+v, %v", result, err)
		}
	})
}

func TestReadsOutlastADisturbance(t *testing.T) {
	// Catches: a read that is not tried again; one attempt that takes all the
	// time, so that a store healed meanwhile is not asked.
	for name, disturb := range map[string]func(*memory.Driver){
		"cut": (*memory.Driver).Cut, "silent": (*memory.Driver).Silence,
	} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			s, d := open(t, server, nil)
			put(t, s, "k", "1")
			disturb(d)
			time.AfterFunc(3*time.Second, d.Heal)
			entry, found, err := s.Get(t.Context(), "k")
			if err != nil || !found || string(entry.Value) != "1" {
				t.Errorf("%s: %+v, %v, %v", name, entry, found, err)
			}
		})
	}
	bubble(t, func(t *testing.T, _ *memory.Server) {
		asked := 0
		s := over(t, &fake{read: func(ctx context.Context, _ []driver.Target) ([][]driver.Entry, error) {
			if asked++; asked == 1 {
				return nil, silence(ctx) // this server; another would answer
			}
			return [][]driver.Entry{{}}, nil
		}}, nil)
		if _, found, err := s.Get(t.Context(), "k"); found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
	})
}

func TestACallEndsWithItsContext(t *testing.T) {
	// Catches: a call that outlives ctx, or hides why it ended.
	for name, disturb := range map[string]func(*memory.Driver){
		"cut": (*memory.Driver).Cut, "silent": (*memory.Driver).Silence,
	} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			s, d := open(t, server, nil)
			disturb(d)
			why := errors.New("why")
			for what, call := range map[string]func(context.Context) error{
				"Read":   func(ctx context.Context) error { _, err := s.Read(ctx, driver.Key("k")); return err },
				"Commit": func(ctx context.Context) error { _, err := s.Commit(ctx, create("k")); return err },
			} {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
				passed := since()
				err := call(ctx)
				cancel()
				wantErr(t, err, why)
				if want := backend.ErrIndeterminate; what == "Commit" && name == "silent" {
					wantErr(t, err, want)
				} else {
					wantErr(t, err, backend.ErrUnavailable)
				}
				wantTime(t, name+": "+what+" returned", passed(), time.Second)
			}
		})
	}
}

func TestAReadRefusedForGoodIsNotTriedAgain(t *testing.T) {
	// Catches: a denied read tried until CallTimeout.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		asked := 0
		s := over(t, &fake{read: func(context.Context, []driver.Target) ([][]driver.Entry, error) {
			asked++
			return nil, driver.ErrDenied
		}}, nil)
		_, _, err := s.Get(t.Context(), "k")
		wantErr(t, err, backend.ErrDenied)
		if asked != 1 || errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("asked %d times: %v", asked, err)
		}
	})
}

func TestCloseDuringCalls(t *testing.T) {
	// Catches: doubt lost when Close ends a commit under way.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		d.Mute()
		time.AfterFunc(time.Second, func() { _ = s.Close() })
		passed := since()
		_, err := s.Commit(t.Context(), create("k"))
		wantErr(t, err, backend.ErrIndeterminate, backend.ErrClosed)
		wantTime(t, "Commit returned", passed(), time.Second)
	})
}
