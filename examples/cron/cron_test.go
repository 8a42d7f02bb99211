package main

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
	"github.com/quorate/quorate/restart"
)

const every = 200 * time.Millisecond

var job = regexp.MustCompile(`^job of (\S+), term (\d+)$`)

// jobs takes lines that tell of a job, and holds each to be of a later tick
// than all before, whichever process ran it.
type jobs struct {
	last time.Time
	term string
}

func (j *jobs) take(t *testing.T, line string) {
	t.Helper()
	m := job.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("the line is %q", line)
	}
	tick, err := time.Parse(time.RFC3339Nano, m[1])
	if err != nil {
		t.Fatal(err)
	}
	if !tick.After(j.last) || !tick.Equal(tick.Truncate(every)) {
		t.Errorf("the job of %v comes after that of %v", tick, j.last)
	}
	j.last, j.term = tick, m[2]
}

func TestCron(t *testing.T) {
	exe := program.Build(t)
	t.Run("alone", func(t *testing.T) {
		p := program.Start(t, exe, "-every", every.String(), "-jobs", "3")
		if line, _ := p.Line(t); line != "leading, term 2" {
			t.Errorf("the first line is %q", line)
		}
		var all jobs
		for range 3 {
			line, _ := p.Line(t)
			all.take(t, line)
		}
		if line, more := p.Line(t); more {
			t.Errorf("one line more: %q", line)
		}
		if err := p.Wait(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("killed", func(t *testing.T) { killed(t, exe) })
	t.Run("bad-arguments", func(t *testing.T) {
		for _, args := range [][]string{{"-store", "nonsense"}, {"-every", "-1s"}, {"-ttl", "1ms"}} {
			if err := program.Start(t, exe, args...).Wait(t); err == nil {
				t.Errorf("%q: no error", args)
			}
		}
	})
}

// killed: of two processes the one that leads is killed, and then the other is
// told to end: no job is run twice.
func killed(t *testing.T, exe string) {
	server, err := etcdserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	start := func() *program.Process {
		return program.Start(t, exe, "-every", every.String(), "-store", server.URL, "-ttl", "2s")
	}
	first := start()
	if line, _ := first.Line(t); line != "leading, term 2" {
		t.Fatalf("the first line is %q", line)
	}
	second := start()
	var all jobs
	for range 5 {
		line, _ := first.Line(t)
		all.take(t, line)
	}
	first.Kill()
	for line, more := first.Line(t); more; line, more = first.Line(t) {
		all.take(t, line)
	}
	if line, _ := second.Line(t); line != "leading, term 3" {
		t.Fatalf("the second begins with %q", line)
	}
	leads := time.Now()
	for i := range 5 {
		line, _ := second.Line(t)
		all.take(t, line)
		if i == 0 && all.last.After(leads) {
			t.Error("nothing was made up for the ticks that nobody was there for")
		}
	}
	if all.term != "3" {
		t.Errorf("the last job was of term %s, want 3", all.term)
	}
	second.Stop()
	if err := second.Wait(t); err != nil {
		t.Error(err)
	}
}

// TestSupersededRunsNothing: whoever cannot save the tick does not run its job.
func TestSupersededRunsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		server := memory.NewServer()
		store, err := memory.Open(server, nil)
		must(err)
		defer store.Close()
		e, err := election.New(store, "cron", nil)
		must(err)
		lead, err := e.Campaign(t.Context())
		must(err)
		defer func() { must(lead.Resign(context.Background())) }()
		mine, err := restart.NewCheckpoint[time.Time](store, "cron", nil)
		must(err)
		other, err := restart.NewCheckpoint[time.Time](store, "cron", nil)
		must(err)
		c := &cron{store: store, every: time.Hour}
		ended := make(chan error, 1)
		go func() { ended <- c.lead(lead.Context(), lead, mine) }()
		synctest.Wait()
		_, _, err = other.Claim(t.Context())
		must(err)
		if err := <-ended; !errors.Is(err, backend.ErrFenced) || c.ran != 0 {
			t.Errorf("it ran %d jobs and ended with %v", c.ran, err)
		}
	})
}

func TestNext(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0).UTC() }
	const every = 10 * time.Second
	for name, c := range map[string]struct{ last, now, want time.Time }{
		"never ran":         {time.Time{}, at(1003), at(1010)},
		"in time":           {at(1000), at(1003), at(1010)},
		"just missed":       {at(1000), at(1010), at(1010)},
		"many missed":       {at(1000), at(1057), at(1050)},
		"this clock behind": {at(1050), at(1003), at(1060)},
		"other ticks":       {at(1005), at(1007), at(1010)},
	} {
		if got := next(c.last, c.now, every); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
