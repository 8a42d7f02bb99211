package backend_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

// object is a Claimant of the directory "d" and what it claims.
type object struct {
	*backend.Claimant
	t     *testing.T
	store *backend.Store

	mu     sync.Mutex
	claims map[string]bool
}

func newObject(t *testing.T, s *backend.Store) *object {
	o := &object{t: t, store: s, claims: make(map[string]bool)}
	o.Claimant = s.NewClaimant("d", func(e backend.Entry) bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.claims[e.Key]
	}, nil)
	return o
}

func (o *object) claim(key string, claimed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.claims[key] = claimed
}

// plant creates an ephemeral key under the Store's session.
func plant(t *testing.T, s *backend.Store, key string) {
	t.Helper()
	txn := backend.Txn{Ops: []backend.Op{backend.CreateEphemeral(key, nil)}, Lease: session(t, s).ID()}
	if result, err := s.Commit(t.Context(), txn); err != nil || !result.Applied {
		t.Fatalf("Commit: %+v, %v", result, err)
	}
}

// left returns the keys of the server.
func left(server *memory.Server) string {
	var keys []string
	for _, e := range server.Entries() {
		keys = append(keys, strings.TrimPrefix(e.Key, "quorate/"))
	}
	return strings.Join(keys, " ")
}

func wantLeft(t *testing.T, server *memory.Server, want string) {
	t.Helper()
	synctest.Wait()
	if got := left(server); got != want {
		t.Errorf("%v: the store has %q, want %q", time.Now().Format("15:04:05.000"), got, want)
	}
}

func TestOrphansAreDeleted(t *testing.T) {
	// Catches: an orphan that stays; a key that another object of the process,
	// another process or nobody's lease owns, and that is deleted with it.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		other, _ := open(t, server, nil)
		one, two := newObject(t, s), newObject(t, s)
		one.claim("d/one", true)
		plant(t, s, "d/one")
		two.claim("d/two", true)
		plant(t, s, "d/two")
		plant(t, other, "d/theirs")
		put(t, s, "d/persistent", "")
		one.GaveUp(session(t, s), true)
		wantLeft(t, server, "d/one d/persistent d/theirs d/two")
		passed := since()
		for _, late := range []time.Duration{0, 500 * time.Millisecond, 20 * time.Second, 20 * time.Minute} {
			time.Sleep(late)
			plant(t, s, "d/late") // lands after it was given up
			landed := passed()
			for strings.Contains(left(server), "late") {
				time.Sleep(100 * time.Millisecond)
			}
			// Of doubling pauses the present one is about as long as all before.
			if took := passed() - landed; took > min(landed*3/2, 15*time.Minute)+2*time.Second {
				t.Errorf("what landed %v late was deleted %v after that", landed, took)
			}
		}
		wantLeft(t, server, "d/one d/persistent d/theirs d/two")
		one.claim("d/one", false)
		one.GaveUp(session(t, s), true)
		wantLeft(t, server, "d/persistent d/theirs d/two")
	})
}

func TestOrphansThatARestoreBringsBack(t *testing.T) {
	// Catches: a restore that is not noticed, or only by objects that are still
	// open; directories that are looked at though no orphan can be there.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		o := newObject(t, s)
		o.claim("d/a", true)
		plant(t, s, "d/a")
		backup := server.Snapshot()
		server.Restore(backup)
		time.Sleep(time.Minute)
		if reads := d.Stats().Reads; reads != 0 {
			t.Errorf("%d reads, though nothing was given up", reads)
		}
		if !server.Delete("quorate/d/a") {
			t.Fatal("the key is not there")
		}
		o.claim("d/a", false)
		o.GaveUp(session(t, s), false)
		o.Close()
		time.Sleep(time.Minute)
		if reads := d.Stats().Reads; reads != 1 {
			t.Errorf("%d reads after one restore under the session", reads)
		}
		for range 2 {
			server.Restore(backup)
			wantLeft(t, server, "d/a")
			time.Sleep(time.Second)
			wantLeft(t, server, "")
		}
		if reads := d.Stats().Reads; reads != 1+2 {
			t.Errorf("%d reads for two more restores", reads)
		}
	})
}

func TestOrphansThatARestoreBroughtBackBefore(t *testing.T) {
	// Catches: a restore between the deletion of a key and the call of GaveUp,
	// which the reply to the deletion may delay.
	for _, running := range []bool{false, true} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			s, _ := open(t, server, nil)
			o := newObject(t, s)
			if running {
				o.GaveUp(session(t, s), false) // the collector runs already
			}
			o.claim("d/a", true)
			plant(t, s, "d/a")
			backup := server.Snapshot()
			if !server.Delete("quorate/d/a") {
				t.Fatal("the key is not there")
			}
			server.Restore(backup)
			time.Sleep(time.Minute)
			wantLeft(t, server, "d/a")
			o.claim("d/a", false)
			o.GaveUp(session(t, s), false)
			time.Sleep(time.Second)
			wantLeft(t, server, "")
		})
	}
}

func TestOrphansAfterAnOutage(t *testing.T) {
	// Catches: an outage whose end nobody tells the collector of: a restore need
	// not make any number go back that this process has seen.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		o := newObject(t, s)
		o.GaveUp(session(t, s), false)
		plant(t, s, "d/back")
		time.Sleep(time.Minute)
		d.Silence()
		time.Sleep(window / 2)
		d.Heal()
		wantLeft(t, server, "d/back")
		time.Sleep(2 * time.Second)
		wantLeft(t, server, "")
	})
}

func TestOrphansOfALostSession(t *testing.T) {
	// Catches: a collector that goes on, or keeps anything, once the session is
	// over under which orphans could be; one that serves one session only.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		o := newObject(t, s)
		for range 3 {
			held := session(t, s)
			o.GaveUp(held, true)
			plant(t, s, "d/late")
			time.Sleep(5 * time.Second)
			wantLeft(t, server, "")
			server.Expire(held.ID())
			<-held.Context().Done()
			o.GaveUp(held, true) // too late to matter
			time.Sleep(2 * ttl)
		}
		reads := d.Stats().Reads
		time.Sleep(time.Hour)
		if d.Stats().Reads != reads {
			t.Error("directories are looked at though no orphan can be there")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		noGoroutines(t)
	})
}

func TestOrphansThatAreRefused(t *testing.T) {
	// Catches: a look that is refused and repeated at one pace for ever, or in
	// silence; a new sighting that has no pause at all; one directory that keeps
	// the others from being looked at.
	bubble(t, func(t *testing.T, server *memory.Server) {
		d := memory.NewDriver(server)
		var refused atomic.Bool
		var asked atomic.Int64
		refused.Store(true)
		var lines logged
		s := over(t, &fake{
			Driver: d,
			read: func(ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
				if slices.ContainsFunc(targets, func(t driver.Target) bool { return t.Path == "quorate/d" }) {
					asked.Add(1)
					if refused.Load() {
						return nil, driver.ErrDenied
					}
				}
				return d.Read(ctx, targets...)
			},
		}, &backend.Options{Logger: slog.New(&lines)})
		o := newObject(t, s)
		fine := s.NewClaimant("fine", func(backend.Entry) bool { return false }, nil)
		plant(t, s, "d/late")
		plant(t, s, "fine/late")
		fine.GaveUp(session(t, s), true)
		for range 600 {
			o.GaveUp(session(t, s), true) // as when its watch shows it again and again
			time.Sleep(time.Second)
		}
		wantLeft(t, server, "d/late")
		if warned := lines.count("orphans could not be collected"); asked.Load() > 12 || warned < 8 {
			t.Errorf("asked %d times in ten minutes, and warned %d times", asked.Load(), warned)
		}
		refused.Store(false)
		time.Sleep(15 * time.Minute)
		wantLeft(t, server, "")
	})
}

// logged counts the lines of a log by their message.
type logged struct {
	slog.Handler
	mu     sync.Mutex
	counts map[string]int
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = make(map[string]int)
	}
	l.counts[r.Message]++
	return nil
}

func (l *logged) count(message string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[message]
}

func TestManyDirectoriesWithOrphans(t *testing.T) {
	// Catches: a look for each directory by itself.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		for i := range 100 {
			c := s.NewClaimant(fmt.Sprintf("d%d", i), func(backend.Entry) bool { return false }, nil)
			plant(t, s, fmt.Sprintf("d%d/back", i))
			c.GaveUp(session(t, s), false)
			c.Close()
		}
		server.SetDown(true)
		server.SetDown(false)
		time.Sleep(time.Second)
		wantLeft(t, server, "")
		if reads := d.Stats().Reads; reads > 100/4 {
			t.Errorf("%d reads of 100 directories", reads)
		}
	})
}
