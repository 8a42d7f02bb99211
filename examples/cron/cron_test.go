package main

import (
	"regexp"
	"testing"
	"time"

	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
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
	var all jobs
	line, _ := first.Line(t)
	all.take(t, line)
	second := start()
	for range 5 {
		line, _ := first.Line(t)
		all.take(t, line)
	}
	if all.term != "2" {
		t.Errorf("the first leads in term %s, want 2", all.term)
	}
	first.Kill()
	for line, more := first.Line(t); more; line, more = first.Line(t) {
		all.take(t, line)
	}
	for range 5 {
		line, _ := second.Line(t)
		all.take(t, line)
	}
	if all.term != "3" {
		t.Errorf("the last job was of term %s, want 3", all.term)
	}
	second.Stop()
	if err := second.Wait(t); err != nil {
		t.Error(err)
	}
}
