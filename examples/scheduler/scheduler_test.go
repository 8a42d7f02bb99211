package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
)

// lines reads a program that ends by itself to its end.
func lines(t *testing.T, p *program.Process) (all []string) {
	t.Helper()
	for line, more := p.Line(t); more; line, more = p.Line(t) {
		all = append(all, line)
	}
	if err := p.Wait(t); err != nil {
		t.Errorf("%v, after %q", err, all)
	}
	return all
}

func TestScheduler(t *testing.T) {
	const slots, jobs = 4, 60
	exe := program.Build(t)
	server, err := etcdserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	start := func(args ...string) *program.Process {
		return program.Start(t, exe, append(args, "-store", server.URL, "-ttl", "2s", "-slots", fmt.Sprint(slots), "-takes", "10ms")...)
	}
	status := func() string {
		t.Helper()
		all := lines(t, start("-status"))
		if len(all) != 1 {
			t.Fatalf("the status is %q", all)
		}
		return all[0]
	}
	submit := func(n int) {
		t.Helper()
		if all := lines(t, start("-submit", fmt.Sprint(n))); len(all) != n {
			t.Fatalf("submitted: %q", all)
		}
	}
	submit(jobs / 2) // nobody is there yet
	if s, want := status(), fmt.Sprintf("%d in the inbox, 0 planned, 0 done", jobs/2); s != want {
		t.Errorf("before all: %q, want %q", s, want)
	}

	// The first plans, and is killed in the midst of its jobs.
	times, planned := map[string]int{}, map[string]bool{}
	take := func(line string) {
		t.Helper()
		var slot int
		var number uint64
		var job string
		switch {
		case scan(strings.ReplaceAll(line, ",", " "), "planned job %s for slot %d  term %d", &job, &slot, &number):
			if planned[job] {
				t.Errorf("planned twice: %q", line)
			}
			planned[job] = true
		case scan(line, "slot %d, token %d: job %s", &slot, &number, &job):
			times[job]++
		case !strings.HasPrefix(line, "planning, term "):
			t.Fatalf("the line is %q", line)
		}
	}
	first := start("-id", "first")
	for len(times) < jobs/4 {
		line, _ := first.Line(t)
		take(line)
	}
	second := start("-id", "second")
	submit(jobs / 2) // they may have to wait for the next to lead
	first.Kill()
	for line, more := first.Line(t); more; line, more = first.Line(t) {
		take(line)
	}
	killed := time.Now()
	for len(times) < jobs {
		line, more := second.Line(t)
		if !more {
			t.Fatal("the second has ended")
		}
		take(line)
	}
	t.Logf("all jobs were done %v after the kill", time.Since(killed).Round(time.Millisecond))
	second.Stop()
	if err := second.Wait(t); err != nil {
		t.Error(err)
	}
	for line, more := second.Line(t); more; line, more = second.Line(t) {
		take(line)
	}
	repeated := 0
	for job, n := range times {
		repeated += n - 1
		if n > 2 {
			t.Errorf("job %s was done %d times", job, n)
		}
	}
	if repeated > slots {
		t.Errorf("%d jobs were done again after one kill, want one per slot at most", repeated)
	}
	// Whatever was done again, it is counted once.
	if s, want := status(), fmt.Sprintf("0 in the inbox, 0 planned, %d done", jobs); s != want {
		t.Errorf("after all: %q, want %q", s, want)
	}
	for _, args := range [][]string{{"-store", "nonsense"}, {"-slots", "33"}, {"-submit", "-1"}} {
		if err := program.Start(t, exe, args...).Wait(t); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func scan(line, format string, into ...any) bool {
	n, err := fmt.Sscanf(line, format, into...)
	return err == nil && n == len(into)
}
