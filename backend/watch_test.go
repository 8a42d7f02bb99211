package backend_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

func watch(t *testing.T, s *backend.Store, targets ...backend.Target) *backend.Watcher {
	t.Helper()
	w, err := s.Watch(targets...)
	if err != nil {
		t.Fatalf("Watch: %v", err)
	}
	return w
}

// next returns the state of the i-th target after the next news.
func next(t *testing.T, w *backend.Watcher, i int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.Next(ctx); err != nil {
		t.Fatalf("Next: %v", err)
	}
	return values(w.Entries(i))
}

func values(entries []backend.Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, string(e.Value))
	}
	return strings.Join(all, " ")
}

// quiet fails if there is news within a minute.
func quiet(t *testing.T, w *backend.Watcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.Next(ctx); err == nil {
		t.Error("news, though nothing has changed")
	}
}

func TestWatchersShareAWatch(t *testing.T) {
	// Catches: a watch of the driver per watcher; one that stays when all have
	// gone; a newcomer that wakes the others.
	bubble(t, func(t *testing.T, server *memory.Server) {
		d := memory.NewDriver(server)
		var active atomic.Int64
		s := over(t, &fake{Driver: d, watch: func(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
			if n := active.Add(1); n > 1 {
				t.Errorf("%d watches of one target at a time", n)
			}
			defer active.Add(-1)
			return d.Watch(ctx, target, changed)
		}}, nil)
		put(t, s, "d/k", "1")
		var all []*backend.Watcher
		for range 100 {
			all = append(all, watch(t, s, driver.Dir("d")))
		}
		for _, w := range all {
			wantString(t, "state", next(t, w, 0), "1")
		}
		synctest.Wait()
		together := d.Stats().Watches
		late := watch(t, s, driver.Dir("d"))
		wantString(t, "state", next(t, late, 0), "1")
		if n := d.Stats().Watches - together; n != 1 {
			t.Errorf("%d watches with a newcomer, whom a fresh read is owed", n)
		}
		for _, w := range all {
			quiet(t, w)
		}
		put(t, s, "d/k", "2")
		for _, w := range append(all, late) {
			wantString(t, "state", next(t, w, 0), "2")
			w.Close()
		}
		noGoroutines(t)
		if active.Load() != 0 {
			t.Error("a watch for nobody")
		}
		put(t, s, "d/k", "3")
		again := watch(t, s, driver.Dir("d"))
		defer again.Close()
		wantString(t, "state", next(t, again, 0), "3")
	})
}

func TestANewcomerNeverSeesTheStateFromBefore(t *testing.T) {
	// Catches: the state that the shared watch saw last, shown to a newcomer: he
	// may know better already.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		reads := make(chan string)
		var revision atomic.Uint64
		s := over(t, &fake{watch: func(ctx context.Context, _ driver.Target, changed func([]driver.Entry)) error {
			show := func(value string) {
				changed([]driver.Entry{{Key: "quorate/k", Value: []byte(value), Modified: revision.Add(1)}})
			}
			for {
				select {
				case <-ctx.Done():
					show("stale") // what was read before may still be handed on
					return ctx.Err()
				case value := <-reads:
					show(value)
				}
			}
		}}, nil)
		first := watch(t, s, driver.Key("k"))
		defer first.Close()
		reads <- "old"
		wantString(t, "first", next(t, first, 0), "old")
		second := watch(t, s, driver.Key("k"))
		defer second.Close()
		synctest.Wait()
		wantString(t, "first", next(t, first, 0), "stale")
		quiet(t, second)
		reads <- "new"
		wantString(t, "newcomer", next(t, second, 0), "new")
		wantString(t, "first", next(t, first, 0), "new")
	})
}

func TestTheLastStateIsNeverMissed(t *testing.T) {
	// Catches: a wake-up lost while nobody waits, over failures, or between two
	// runs.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		writer, _ := open(t, server, nil)
		put(t, writer, "k", "0")
		w := watch(t, s, driver.Key("k"))
		defer w.Close()
		for i := range 200 {
			value := fmt.Sprint(i)
			switch i % 5 {
			case 1:
				server.SetDown(true)
				time.Sleep(time.Duration(i) * time.Millisecond)
				server.SetDown(false)
			case 2: // in the pause after a failure
				server.SetDown(true)
				synctest.Wait()
				server.SetDown(false)
			case 3:
				newcomer := watch(t, s, driver.Key("k"))
				defer newcomer.Close()
			}
			put(t, writer, "k", value)
			if i%2 == 0 { // it comes while nobody waits for it
				synctest.Wait()
			}
			for got := ""; got != value; {
				got = next(t, w, 0)
			}
		}
	})
}

func TestAReadAfterAFailureIsNews(t *testing.T) {
	// Catches: no news, although the store may be another by now; also when
	// somebody joins during the pause, whose joining alone is none.
	for _, joins := range []bool{false, true} {
		t.Run(fmt.Sprint("joins ", joins), func(t *testing.T) {
			bubble(t, func(t *testing.T, _ *memory.Server) {
				var runs atomic.Int64
				fail := make(chan struct{}, 1)
				s := over(t, &fake{watch: func(ctx context.Context, _ driver.Target, changed func([]driver.Entry)) error {
					if n := runs.Add(1); n > 1 && n < 8 {
						return driver.ErrUnavailable
					}
					changed(nil)
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-fail:
						return driver.ErrUnavailable
					}
				}}, nil)
				w := watch(t, s, driver.Key("k"))
				defer w.Close()
				next(t, w, 0)
				quiet(t, w)
				fail <- struct{}{}
				for runs.Load() < 4 {
					time.Sleep(time.Millisecond)
				}
				if joins {
					newcomer := watch(t, s, driver.Key("k"))
					defer newcomer.Close()
					next(t, newcomer, 0)
				}
				next(t, w, 0)
			})
		})
	}
}

func TestFailuresAreTracedAndPaced(t *testing.T) {
	// Catches: a busy loop over a watch that returns at once, with an error or
	// without one; another error hidden.
	for _, failure := range []error{nil, driver.ErrUnavailable} {
		bubble(t, func(t *testing.T, _ *memory.Server) {
			var restarted log[backend.WatchRestarted]
			s := over(t, &fake{watch: func(_ context.Context, _ driver.Target, changed func([]driver.Entry)) error {
				changed(nil)
				return failure
			}}, &backend.Options{Trace: &backend.Trace{WatchRestarted: restarted.add}})
			w := watch(t, s, driver.Key("k"))
			defer w.Close()
			time.Sleep(10 * time.Minute)
			if n := len(restarted.all()); n < 600 || n > 2400 { // 2 a second
				t.Errorf("restarted %d times in 10 minutes", n)
			}
			for _, r := range restarted.all() {
				if r.Target != driver.Key("k") || !errors.Is(r.Err, failure) {
					t.Fatalf("traced: %+v", r)
				}
			}
		})
	}
}

func TestNewcomersStarveNobody(t *testing.T) {
	// Catches: each newcomer ending the read that the one before waits for.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		s := over(t, &fake{watch: func(ctx context.Context, _ driver.Target, changed func([]driver.Entry)) error {
			select {
			case <-time.After(100 * time.Millisecond):
				changed(nil)
				<-ctx.Done()
			case <-ctx.Done():
			}
			return ctx.Err()
		}}, nil)
		passed := since()
		first := watch(t, s, driver.Key("k"))
		defer first.Close()
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 100 {
				<-ticker.C
				w := watch(t, s, driver.Key("k"))
				defer w.Close()
			}
		}()
		next(t, first, 0)
		wantTime(t, "the first state came", passed(), 100*time.Millisecond)
		<-done
		last := watch(t, s, driver.Key("k"))
		defer last.Close()
		passed = since()
		next(t, last, 0)
		if passed() > 200*time.Millisecond {
			t.Errorf("the last newcomer waited for %v", passed())
		}
	})
}

func TestNextWaitsForAllTargets(t *testing.T) {
	// Catches: Next that returns with a target unread; the same target twice.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		show := make(chan struct{})
		s := over(t, &fake{watch: func(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
			if target.Dir {
				<-show
			}
			changed([]driver.Entry{{Key: target.Path, Value: []byte(target.Path)}})
			<-ctx.Done()
			return ctx.Err()
		}}, nil)
		w := watch(t, s, driver.Key("k"), driver.Dir("k"), driver.Key("k"))
		defer w.Close()
		quiet(t, w)
		close(show)
		for i := range 3 {
			if i == 0 {
				next(t, w, 0)
			}
			wantString(t, fmt.Sprint("target ", i), values(w.Entries(i)), "quorate/k")
		}
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	// Catches: news taken by a Next that reports none; a hidden cause.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		put(t, s, "k", "1")
		w := watch(t, s, driver.Key("k"))
		defer w.Close()
		synctest.Wait()
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		for range 20 {
			wantErr(t, w.Next(ctx), why)
		}
		wantString(t, "state", next(t, w, 0), "1")
	})
}

func TestCloseWakesNext(t *testing.T) {
	// Catches: a Next that outlives its Store; a watch that does.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		d.Silence()
		w := watch(t, s, driver.Key("k"))
		ended := make(chan error)
		go func() { ended <- w.Next(context.Background()) }()
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantErr(t, <-ended, backend.ErrClosed)
		w.Close()
		w.Close()
		noGoroutines(t)
	})
}

func TestComingAndGoing(t *testing.T) {
	// Catches: a watcher that joins a shared watch which is just ending, and is
	// forgotten; a deadlock of the two mutexes.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		put(t, s, "k", "1")
		done := make(chan struct{})
		for range 8 {
			go func() {
				defer func() { done <- struct{}{} }()
				for range 100 {
					w := watch(t, s, driver.Key("k"), driver.Dir("d"))
					next(t, w, 0)
					w.Close()
				}
			}()
		}
		for range 8 {
			<-done
		}
		noGoroutines(t)
	})
}

// TestAWatchThatIsDeniedSaysSo: a watch that the store will never allow must
// not look like one on which nothing happens.
func TestAWatchThatIsDeniedSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := backend.New(deniedWatches{memory.NewDriver(memory.NewServer())}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		w, err := store.Watch(driver.Key("a"))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if err := w.Next(t.Context()); !errors.Is(err, backend.ErrDenied) {
			t.Errorf("Next = %v, want ErrDenied", err)
		}
		if _, err := store.Watch(driver.Key("a//b")); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("Watch of a malformed key = %v, want ErrInvalid", err)
		}
	})
}

type deniedWatches struct{ driver.Driver }

func (deniedWatches) Watch(context.Context, driver.Target, func([]driver.Entry)) error {
	return fmt.Errorf("watch: %w", driver.ErrDenied)
}
