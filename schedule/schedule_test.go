package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/restart"
	"github.com/quorate/quorate/schedule"
)

const period = 10 * time.Second

func bubble(t *testing.T, f func(t *testing.T, server *memory.Server)) {
	synctest.Test(t, func(t *testing.T) { f(t, memory.NewServer()) })
}

// ran lists the jobs that were begun, by all processes.
type ran struct {
	mu    sync.Mutex // guards all
	began time.Time
	all   []string
}

func (r *ran) add(who string, tick schedule.Tick) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := fmt.Sprintf("%s %v", who, tick.Time.Sub(r.began))
	if tick.Again {
		line += " again"
	}
	r.all = append(r.all, line)
}

func (r *ran) want(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.all, want) {
		t.Errorf("jobs %q, want %q", r.all, want)
	}
	r.all = nil
}

// process runs a schedule.
type process struct {
	store  *backend.Store
	faults *faults.Driver
	stop   context.CancelFunc
	ended  chan error
}

func open(t *testing.T, server *memory.Server, options *backend.Options) *process {
	t.Helper()
	p := &process{faults: faults.Wrap(memory.NewDriver(server)), ended: make(chan error, 1)}
	var err error
	if p.store, err = backend.New(p.faults, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() })
	return p
}

// run runs the schedule until the test ends, or p.stop is called.
func (p *process) run(t *testing.T, options *schedule.Options, job func(context.Context, schedule.Tick) error) {
	t.Helper()
	s, err := schedule.New(p.store, "nightly", schedule.Every(period), options)
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(t.Context())
	go func() { p.ended <- s.Run(ctx, job) }()
	synctest.Wait()
}

// halt ends the schedule of the process.
func (p *process) halt(t *testing.T) {
	t.Helper()
	p.stop()
	if err := <-p.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want the cause of its context", err)
	}
}

func (r *ran) job(who string) func(context.Context, schedule.Tick) error {
	return func(_ context.Context, tick schedule.Tick) error {
		r.add(who, tick)
		return nil
	}
}

func TestWhoeverLeads(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		r := &ran{began: time.Now()}
		p, q := open(t, server, nil), open(t, server, nil)
		p.run(t, nil, r.job("p"))
		q.run(t, nil, r.job("q"))
		time.Sleep(25 * time.Second)
		r.want(t, "p 10s", "p 20s")
		p.halt(t)
		time.Sleep(20 * time.Second)
		r.want(t, "q 30s", "q 40s")
		q.halt(t)
	})
}

// What was missed while nobody led is run as chosen.
func TestMissed(t *testing.T) {
	for missed, want := range map[schedule.Missed][]string{
		schedule.RunLatest: {"q 50s", "q 1m0s"},
		schedule.RunAll:    {"q 20s", "q 30s", "q 40s", "q 50s", "q 1m0s"},
		schedule.Skip:      {"q 1m0s"},
	} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			r := &ran{began: time.Now()}
			options := &schedule.Options{Missed: missed}
			p, q := open(t, server, nil), open(t, server, nil)
			p.run(t, options, r.job("p"))
			time.Sleep(15 * time.Second)
			p.halt(t)
			r.want(t, "p 10s")
			time.Sleep(40 * time.Second)
			q.run(t, options, r.job("q"))
			time.Sleep(10 * time.Second)
			r.want(t, want...)
			q.halt(t)
		})
	}
}

// A job that takes longer than a period has the ticks that pass be missed ones.
func TestLongJob(t *testing.T) {
	for missed, want := range map[schedule.Missed][]string{
		schedule.RunLatest: {"p 10s", "p 40s", "p 1m20s"},
		schedule.RunAll:    {"p 10s", "p 20s", "p 30s"},
		schedule.Skip:      {"p 10s", "p 50s", "p 1m30s"},
	} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			r := &ran{began: time.Now()}
			p := open(t, server, nil)
			p.run(t, &schedule.Options{Missed: missed}, func(ctx context.Context, tick schedule.Tick) error {
				r.add("p", tick)
				return backend.Sleep(ctx, 35*time.Second)
			})
			time.Sleep(99 * time.Second)
			r.want(t, want...)
			p.halt(t)
		})
	}
}

// A job that fails is logged and traced, and the next tick comes.
func TestFailingJob(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		r := &ran{began: time.Now()}
		var log bytes.Buffer
		var events []backend.JobRan
		p := open(t, server, &backend.Options{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Trace:  &backend.Trace{JobRan: func(e backend.JobRan) { events = append(events, e) }},
		})
		full := errors.New("the disk is full")
		p.run(t, nil, func(_ context.Context, tick schedule.Tick) error {
			r.add("p", tick)
			time.Sleep(time.Second)
			return full
		})
		time.Sleep(25 * time.Second)
		r.want(t, "p 10s", "p 20s")
		p.halt(t)
		if n := strings.Count(log.String(), `level=WARN msg="job failed" schedule=nightly`); n != 2 {
			t.Errorf("%d warnings in %s", n, log.String())
		}
		if len(events) != 2 || !errors.Is(events[1].Err, full) || events[1].Took != time.Second || events[1].Term == 0 ||
			events[1].Kind != backend.KindSchedule || events[1].Name != "nightly" || events[1].Tick.Sub(r.began) != 20*time.Second {
			t.Errorf("events %+v", events)
		}
	})
}

// A job that was begun when its process crashed, or lost the leadership, is run
// again only where that was asked for.
func TestInterruptedJob(t *testing.T) {
	for _, again := range []bool{false, true} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			r := &ran{began: time.Now()}
			options := &schedule.Options{AtLeastOnce: again}
			p, q := open(t, server, nil), open(t, server, nil)
			p.run(t, options, func(ctx context.Context, tick schedule.Tick) error {
				r.add("p", tick)
				<-ctx.Done()
				return context.Cause(ctx)
			})
			q.run(t, options, r.job("q"))
			time.Sleep(11 * time.Second)
			p.halt(t)
			time.Sleep(10 * time.Second)
			if again {
				r.want(t, "p 10s", "q 10s again", "q 20s")
			} else {
				r.want(t, "p 10s", "q 20s")
			}
			q.halt(t)
		})
	}
}

// A tick whose save is in doubt, or refused, is not run.
func TestNoJobWithoutItsSave(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		r := &ran{began: time.Now()}
		p := open(t, server, nil)
		p.run(t, nil, r.job("p"))
		time.Sleep(5 * time.Second)
		p.faults.Partition(true) // beyond its trust
		time.Sleep(20 * time.Second)
		r.want(t)
		p.faults.Partition(false)
		time.Sleep(14 * time.Second)
		r.want(t, "p 20s", "p 30s")
		p.halt(t)
	})
}

// A leader under which somebody else claims the progress claims it again, and no
// tick is run twice.
func TestProgressClaimedElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		r := &ran{began: time.Now()}
		p, q := open(t, server, nil), open(t, server, nil)
		p.run(t, nil, r.job("p"))
		time.Sleep(15 * time.Second)
		other, err := restart.NewCheckpoint[map[string]any](q.store, "schedule/nightly", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := other.Claim(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		r.want(t, "p 10s", "p 20s", "p 30s")
		p.halt(t)
	})
}

// The office is taken from a leader that does not learn of it at once: the save of
// its next tick is refused.
func TestDeposed(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		r := &ran{began: time.Now()}
		p, q := open(t, server, nil), open(t, server, nil)
		p.run(t, nil, r.job("p"))
		q.run(t, nil, r.job("q"))
		time.Sleep(19 * time.Second)
		if !server.Delete("quorate/election/schedule%2Fnightly/tenure/leader") {
			t.Error("there is no leader key")
		}
		time.Sleep(12 * time.Second)
		r.mu.Lock()
		if len(r.all) != 3 || !strings.HasSuffix(r.all[1], " 20s") || !strings.HasSuffix(r.all[2], " 30s") {
			t.Errorf("jobs %q", r.all)
		}
		r.mu.Unlock()
		p.halt(t)
		q.halt(t)
	})
}

// A leader whose clock is behind that of the last one waits for the tick after, and
// says so.
func TestLastTickAhead(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		var log bytes.Buffer
		r := &ran{began: time.Now()}
		p := open(t, server, &backend.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		c, err := restart.NewCheckpoint[map[string]any](p.store, "schedule/nightly", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Claim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Save(t.Context(), map[string]any{"tick": time.Now().Add(5 * time.Minute)}); err != nil {
			t.Fatal(err)
		}
		p.run(t, nil, r.job("p"))
		time.Sleep(5 * time.Minute)
		r.want(t)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.want(t, "p 5m10s")
		if !strings.Contains(log.String(), "the last tick is ahead of this clock") {
			t.Error(log.String())
		}
		p.halt(t)
	})
}

func TestRunEnds(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := open(t, server, nil)
		p.run(t, nil, func(context.Context, schedule.Tick) error { return nil })
		time.Sleep(15 * time.Second)
		if err := p.store.Close(); err != nil {
			t.Error(err)
		}
		if err := <-p.ended; !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Run after Close = %v", err)
		}
	})
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := open(t, server, nil)
		s, err := schedule.New(p.store, "nightly", stuck{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context(), func(context.Context, schedule.Tick) error { return nil }); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("Run with ticks that stand still = %v", err)
		}
		if err := s.Run(t.Context(), nil); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("Run without a job = %v", err)
		}
	})
}

// stuck has every tick follow itself.
type stuck struct{}

func (stuck) Next(t time.Time) time.Time { return t }

// weekly has a tick on each Sunday and one within it a minute later.
type weekly struct{ last time.Time }

func (w weekly) Next(t time.Time) time.Time {
	sunday := t.Truncate(7 * 24 * time.Hour)
	for _, tick := range []time.Time{sunday, sunday.Add(time.Minute), sunday.Add(7 * 24 * time.Hour)} {
		if tick.After(t) {
			if !w.last.IsZero() && tick.After(w.last) {
				return time.Time{}
			}
			return tick
		}
	}
	panic("no tick")
}

func TestNext(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0).UTC() }
	const week = 7 * 24 * 3600
	sunday := int(at(0).Truncate(week*time.Second).Unix()) + 2000*week
	for name, c := range map[string]struct {
		ticks  schedule.Ticks
		missed schedule.Missed
		last   int
		now    int
		want   int
	}{
		"in time":             {schedule.Every(period), schedule.RunLatest, 1000, 1003, 1010},
		"this clock behind":   {schedule.Every(period), schedule.RunLatest, 1050, 1003, 1060},
		"just due":            {schedule.Every(period), schedule.RunLatest, 1000, 1010, 1010},
		"many missed":         {schedule.Every(period), schedule.RunLatest, 1000, 1057, 1050},
		"very many missed":    {schedule.Every(time.Second), schedule.RunLatest, 1000, 1_800_000_000, 1_800_000_000},
		"all":                 {schedule.Every(period), schedule.RunAll, 1000, 1057, 1010},
		"skip":                {schedule.Every(period), schedule.Skip, 1000, 1057, 1060},
		"other ticks":         {schedule.Every(period), schedule.RunLatest, 1005, 1007, 1010},
		"long ago":            {weekly{}, schedule.RunLatest, sunday - 100*week, sunday + 5*24*3600, sunday + 60},
		"one of two":          {weekly{}, schedule.RunLatest, sunday - 100*week, sunday + 30, sunday},
		"none any more":       {weekly{at(sunday)}, schedule.RunLatest, sunday, sunday + 30, int(time.Time{}.Unix())},
		"the last of all":     {weekly{at(sunday)}, schedule.RunLatest, sunday - 3*week, sunday + 100*week, sunday},
		"skip, none any more": {weekly{at(sunday)}, schedule.Skip, sunday - 3*week, sunday + 100*week, int(time.Time{}.Unix())},
	} {
		got, err := schedule.Next(c.ticks, c.missed, at(c.last), at(c.now))
		if err != nil || !got.Equal(at(c.want)) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, at(c.want))
		}
	}
}

func TestNewChecksItsArguments(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		store := open(t, server, nil).store
		ticks := schedule.Every(period)
		for name, try := range map[string]func() error{
			"store":  func() error { _, err := schedule.New(nil, "a", ticks, nil); return err },
			"name":   func() error { _, err := schedule.New(store, "", ticks, nil); return err },
			"long":   func() error { _, err := schedule.New(store, strings.Repeat("a", 92), ticks, nil); return err },
			"ticks":  func() error { _, err := schedule.New(store, "a", nil, nil); return err },
			"period": func() error { _, err := schedule.New(store, "a", schedule.Every(0), nil); return err },
			"missed": func() error { _, err := schedule.New(store, "a", ticks, &schedule.Options{Missed: 3}); return err },
		} {
			if err := try(); !errors.Is(err, backend.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := schedule.New(store, strings.Repeat("a", 91), ticks, nil); err != nil {
			t.Error(err)
		}
	})
}
