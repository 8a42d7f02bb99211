package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
)

// aeon is a window that does not end while a test runs.
const aeon = "876000h"

func TestQuota(t *testing.T) {
	exe := program.Build(t)
	t.Run("alone", func(t *testing.T) {
		p := program.Start(t, exe, "-limit", "2", "-requests", "3", "-window", aeon)
		for _, want := range []string{
			"request 1: granted, 1 of 2",
			"request 2: granted, 2 of 2",
			"request 3: refused, the quota of this window is used up",
		} {
			if line, _ := p.Line(t); line != want {
				t.Errorf("%q, want %q", line, want)
			}
		}
		if err := p.Wait(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("shared", func(t *testing.T) { shared(t, exe) })
	t.Run("bad-arguments", func(t *testing.T) {
		for _, args := range [][]string{{"-store", "nonsense"}, {"-limit", "0"}, {"-limit", "100000000"}, {"-window", "1ms"}} {
			if err := program.Start(t, exe, args...).Wait(t); err == nil {
				t.Errorf("%q: no error", args)
			}
		}
	})
}

// shared: three processes at once are granted the limit together, each number
// once.
func shared(t *testing.T, exe string) {
	server, err := etcdserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	var all []*program.Process
	for range 3 {
		all = append(all, program.Start(t, exe, "-limit", "50", "-requests", "30", "-window", aeon, "-store", server.URL))
	}
	granted, refused := map[string]bool{}, 0
	for _, p := range all {
		for line, more := p.Line(t); more; line, more = p.Line(t) {
			_, number, ok := strings.Cut(line, ": granted, ")
			switch {
			case ok && granted[number]:
				t.Errorf("granted twice: %s", number)
			case ok:
				granted[number] = true
			default:
				refused++
			}
		}
		if err := p.Wait(t); err != nil {
			t.Error(err)
		}
	}
	if len(granted) != 50 || refused != 40 {
		t.Errorf("%d granted, %d refused, want 50 and 40", len(granted), refused)
	}
	for i := range 50 {
		if number := fmt.Sprintf("%d of 50", i+1); !granted[number] {
			t.Errorf("%s was not granted", number)
		}
	}
}

// TestWindows: each window has the whole limit, and who is behind the others,
// by the clock, gets nothing.
func TestWindows(t *testing.T) {
	store, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	open := func() *quota {
		q, err := newQuota(store, "a", 2, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	q, other := open(), open()
	now := time.Unix(1_800_000_000, 0)
	take := func(q *quota, now time.Time, want int64) {
		t.Helper()
		used, err := q.take(t.Context(), now)
		if want == 0 && !errors.Is(err, errUsedUp) || want > 0 && (err != nil || used != want) {
			t.Errorf("take = %d, %v, want %d", used, err, want)
		}
	}
	take(q, now, 1)
	take(other, now, 2)
	take(q, now, 0)
	now = now.Add(time.Minute)
	take(other, now, 1)
	take(q, now.Add(-time.Minute), 0)
	take(q, now, 2)
	take(other, now, 0)
	now = now.Add(time.Hour)
	take(q, now, 1)
	if _, err := newQuota(store, "a", perWindow, time.Minute); err == nil {
		t.Error("a limit that does not fit is taken")
	}
}
