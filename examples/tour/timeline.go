package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// timeline prints what happens, when, and to whom.
type timeline struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
}

func newTimeline(out io.Writer) *timeline {
	return &timeline{out: out, start: time.Now()}
}

func (l *timeline) say(who, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, "%6.2fs  %-9s %s\n", time.Since(l.start).Seconds(), who, fmt.Sprintf(format, args...))
}

func (l *timeline) title(title string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, "\n%s\n", title)
}

func (l *timeline) summary() {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, `
Done in %.1f s. What you saw:
  term      the number of a tenure in office. It only grows, so it tells old from new.
  crash     the store waits one TTL for the dead leader (Consul up to two), then the
            next in line leads.
  pause     a process that stood still cannot know that its time is over. Its own clock
            tells it as soon as it runs again, and the store refuses what it writes
            under its old term.
  leave     a leader that resigns hands over at once; the process drains on SIGTERM and
            ends with code 0.
  items     each leader begins after the last item that the checkpoint acknowledged; what
            the one before did, and could not save any more, it finds done.
  peers     who leaves is gone from the others' views at once, who crashed after a TTL;
            a new process of the same name is a new incarnation.
  slots     each has one owner, and moves only if it must: to the others when a worker is
            gone, and back when there is one more. Its token tells an owner from the next.
  counter   an acknowledged add counts once, whatever crashes; one that was under way
            counts once or never.
Read on: the documentation of packages election, restart, membership, partition and
counter, and docs/guarantees.md.
`, time.Since(l.start).Seconds())
}
