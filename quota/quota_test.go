package quota_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/quota"
)

func bubble(t *testing.T, f func(t *testing.T, server *memory.Server)) {
	synctest.Test(t, func(t *testing.T) { f(t, memory.NewServer()) })
}

type process struct {
	*quota.Quota
	store  *backend.Store
	faults *faults.Driver
	ahead  time.Duration // of its clock
}

func start(t *testing.T, server *memory.Server, limit int64, window time.Duration, options *quota.Options) *process {
	t.Helper()
	p := &process{faults: faults.Wrap(memory.NewDriver(server))}
	var err error
	if p.store, err = backend.New(p.faults, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() })
	if p.Quota, err = quota.New(p.store, "q", limit, window, options); err != nil {
		t.Fatal(err)
	}
	quota.SetClock(p.Quota, func() time.Time { return time.Now().Add(p.ahead) })
	return p
}

// takes fails unless exactly n units can be taken, one by one.
func (p *process) takes(t *testing.T, n int64) {
	t.Helper()
	for i := range n + 1 {
		if granted, err := p.Take(t.Context(), 1); err != nil || granted != (i < n) {
			t.Errorf("unit %d of %d: %t, %v", i+1, n, granted, err)
			return
		}
	}
}

// calls returns how many calls the store has had.
func (p *process) calls() uint64 { return p.faults.Calls(faults.Read) + p.faults.Calls(faults.Commit) }

func TestWindows(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, 5, time.Minute, nil), start(t, server, 5, time.Minute, nil)
		for range 3 {
			p.takes(t, 5)
			q.takes(t, 0)
			before := p.calls() + q.calls()
			p.takes(t, 0)
			q.takes(t, 0)
			if n := p.calls() + q.calls() - before; n != 0 {
				t.Errorf("%d calls to be refused in a window that is known to be used up", n)
			}
			ends := q.Ends()
			if left := time.Until(ends); left <= 0 || left > time.Minute {
				t.Errorf("the window ends in %v", left)
			}
			time.Sleep(time.Until(ends))
		}
		if entries := server.Entries(); len(entries) != 2 {
			t.Errorf("%d keys are left, want the document and the floor", len(entries))
		}
	})
}

// Most calls do no I/O, and a process holds no more than it was granted.
func TestShares(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		const limit = 10_000
		p, q := start(t, server, limit, time.Hour, nil), start(t, server, limit, time.Hour, nil)
		for range 4000 {
			if granted, err := p.Take(t.Context(), 1); err != nil || !granted {
				t.Fatalf("%t, %v", granted, err)
			}
		}
		if n := p.calls(); n > 60 {
			t.Errorf("%d calls for 4000 units", n)
		}
		got := int64(0)
		for {
			granted, err := q.Take(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if !granted {
				break
			}
			got++
		}
		if got < limit-2*4000 || got > limit-4000 {
			t.Errorf("another process was granted %d of %d", got, limit)
		}
		if n := q.calls(); n > 150 {
			t.Errorf("%d calls for %d units, up to the last", n, got)
		}
	})
}

func TestAllOrNone(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, 10, time.Hour, nil)
		for _, step := range []struct {
			n    int64
			want bool
		}{{7, true}, {4, false}, {3, true}, {1, false}} {
			if granted, err := p.Take(t.Context(), step.n); err != nil || granted != step.want {
				t.Errorf("Take(%d) = %t, %v", step.n, granted, err)
			}
		}
		for _, n := range []int64{0, -1, 11} {
			if _, err := p.Take(t.Context(), n); !errors.Is(err, backend.ErrInvalid) {
				t.Errorf("Take(%d) = %v", n, err)
			}
		}
	})
}

// A reservation of unknown outcome is not used, whether it was made or not, and
// does not land over a later one.
func TestDoubtIsNotUsed(t *testing.T) {
	for _, fault := range []faults.Fault{{LoseReply: true}, {LandLater: 10 * time.Minute}} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			one := &quota.Options{MaxShare: 1}
			p, q := start(t, server, 10, time.Hour, one), start(t, server, 10, time.Hour, one)
			granted := 0
			for i := range 10 {
				if i == 3 {
					p.faults.Next(faults.Commit, fault)
				}
				for _, who := range []*process{p, q} {
					ok, err := who.Take(t.Context(), 1)
					if err != nil {
						t.Error(err)
					}
					if ok {
						granted++
					}
				}
				time.Sleep(5 * time.Minute / 2)
			}
			if granted > 10 || granted < 9 {
				t.Errorf("%+v: %d of 10 units were granted", fault, granted)
			}
		})
	}
}

// A late commit of a quota that was deleted does not take back what was granted
// since.
func TestDeleteAndALateReservation(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		one := &quota.Options{MaxShare: 1}
		p, q := start(t, server, 4, 24*time.Hour, one), start(t, server, 4, 24*time.Hour, one)
		p.takes1(t)
		p.faults.Next(faults.Commit, faults.Fault{LandLater: time.Hour})
		p.faults.Next(faults.Read, faults.Fault{})
		p.faults.Next(faults.Read, faults.Fault{Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if granted, err := p.Take(ctx, 1); granted || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Take = %t, %v", granted, err)
		}
		if err := q.Delete(t.Context()); err != nil {
			t.Error(err)
		}
		q.takes1(t) // the new document has the version that the late commit is for
		time.Sleep(2 * time.Hour)
		q.takes(t, 3)
	})
}

func (p *process) takes1(t *testing.T) {
	t.Helper()
	if granted, err := p.Take(t.Context(), 1); err != nil || !granted {
		t.Errorf("Take = %t, %v", granted, err)
	}
}

// Clocks that differ never have a window grant more. The window follows the clock
// that is ahead.
func TestClocksDiffer(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, 5, time.Minute, nil), start(t, server, 5, time.Minute, nil)
		time.Sleep(time.Until(p.Ends()))
		q.ahead = -20 * time.Second
		p.takes(t, 5)
		q.takes(t, 0) // by its own clock this is the window before, of which nothing is used
		if left := time.Until(q.Ends()); left <= 0 || left > time.Minute {
			t.Errorf("the window ends in %v", left)
		}
		time.Sleep(time.Minute)
		p.takes(t, 5)
		q.takes(t, 0)
	})
}

// A clock that was far ahead, once, does not end the quota for good.
func TestClockWasFarAhead(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, 5, time.Minute, nil), start(t, server, 5, time.Minute, nil)
		p.ahead = 10 * 365 * 24 * time.Hour
		p.takes(t, 5)
		p.ahead = 0
		for range 3 {
			q.takes(t, 0)
			p.takes(t, 0)
			left := time.Until(q.Ends())
			if left <= 0 || left > time.Minute {
				t.Errorf("the window ends in %v", left)
			}
			time.Sleep(time.Minute)
			q.takes(t, 5)
		}
	})
}

// After a restore a process counts on from what it remembers.
func TestRestore(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, 10, 24*time.Hour, &quota.Options{MaxShare: 1})
		p.takes1(t)
		backup := server.Snapshot()
		for range 6 {
			p.takes1(t)
		}
		server.Restore(backup)
		p.takes(t, 3)
	})
}

func TestOutage(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, 100, time.Hour, nil)
		for range 30 {
			p.takes1(t)
		}
		server.SetDown(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for n := 0; ; n++ {
			granted, err := p.Take(ctx, 1)
			if err == nil && granted {
				continue
			}
			if granted || !errors.Is(err, context.DeadlineExceeded) || n == 0 {
				t.Errorf("after %d units of the share: %t, %v", n, granted, err)
			}
			break
		}
		server.SetDown(false)
		p.takes1(t)
	})
}

func TestUnknownFormat(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, 1, time.Hour, nil)
		for _, text := range []string{`{"format":2}`, `{"format":1,"start_ms":0,"used":-5}`} {
			ops := []backend.Op{driver.Create("quota/q/window~0", []byte(text))}
			if _, err := p.store.Commit(t.Context(), backend.Txn{Ops: ops}); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Take(t.Context(), 1); !errors.Is(err, backend.ErrFormat) {
				t.Errorf("Take = %v, want ErrFormat", err)
			}
			server.Delete("quorate/quota/q/window~0")
		}
	})
}

func TestNewChecksItsArguments(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		store := start(t, server, 1, time.Hour, nil).store
		for name, err := range map[string]error{
			"store":  second(quota.New(nil, "q", 1, time.Hour, nil)),
			"name":   second(quota.New(store, "", 1, time.Hour, nil)),
			"limit":  second(quota.New(store, "q", 0, time.Hour, nil)),
			"window": second(quota.New(store, "q", 1, time.Millisecond, nil)),
			"share":  second(quota.New(store, "q", 1, time.Hour, &quota.Options{MaxShare: -1})),
		} {
			if !errors.Is(err, backend.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func second(_ *quota.Quota, err error) error { return err }
