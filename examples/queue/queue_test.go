package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
)

const (
	slots = 4
	items = 200
)

// record is what processes say that they did.
type record struct {
	times   [items]int    // how often an item was done
	next    [slots]int    // items of each slot done by whoever works on it now
	token   [slots]uint64 // highest
	through map[int]bool
	resumed int // slots that went on above zero
}

// take takes a line, and holds it to what a slot may do: it is worked on in
// order, from where it was or one before that, under tokens that grow.
func (r *record) take(t *testing.T, line string) {
	t.Helper()
	var slot, n int
	var token uint64
	var what string
	switch {
	case scan(line, "slot %d, token %d: %d items are done", &slot, &token, &n):
		if token <= r.token[slot] {
			t.Errorf("%q comes after token %d", line, r.token[slot])
		}
		if n != r.next[slot] && n != r.next[slot]-1 {
			t.Errorf("%q, where %d were", line, r.next[slot])
		}
		if n > 0 {
			r.resumed++
		}
		r.token[slot], r.next[slot] = token, n
	case scan(line, "slot %d, token %d: item %d", &slot, &token, &n):
		if token != r.token[slot] || n != r.next[slot]*slots+slot {
			t.Errorf("%q: want item %d with token %d", line, r.next[slot]*slots+slot, r.token[slot])
		}
		r.next[slot]++
		r.times[n]++
	case scan(line, "slot %d, token %d: %s", &slot, &token, &what) && what == "through":
		r.through[slot] = true
	default:
		t.Fatalf("the line is %q", line)
	}
}

func scan(line, format string, into ...any) bool {
	n, err := fmt.Sscanf(line, format, into...)
	return err == nil && n == len(into)
}

// judge looks whether every item was done, and how many more than once.
func (r *record) judge(t *testing.T) (repeated int) {
	t.Helper()
	for item, n := range r.times {
		if n == 0 {
			t.Errorf("item %d was not done", item)
		}
		repeated += max(0, n-1)
	}
	return repeated
}

func TestQueue(t *testing.T) {
	exe := program.Build(t)
	flags := func(more ...string) []string {
		return append([]string{"-slots", fmt.Sprint(slots), "-items", fmt.Sprint(items), "-pace", "5ms"}, more...)
	}
	t.Run("alone", func(t *testing.T) {
		p := program.Start(t, exe, flags()...)
		all := record{through: map[int]bool{}}
		for len(all.through) < slots {
			line, _ := p.Line(t)
			all.take(t, line)
		}
		if n := all.judge(t); n != 0 {
			t.Errorf("%d items were repeated", n)
		}
		p.Stop()
		if err := p.Wait(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("killed", func(t *testing.T) {
		server, err := etcdserver.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		start := func(id string) *program.Process {
			return program.Start(t, exe, flags("-id", id, "-store", server.URL, "-ttl", "2s")...)
		}
		first := start("first")
		all := record{through: map[int]bool{}}
		for all.next[0] < 5 {
			line, _ := first.Line(t)
			all.take(t, line)
		}
		first.Kill()
		for line, more := first.Line(t); more; line, more = first.Line(t) {
			all.take(t, line)
		}
		killed := time.Now()
		second := start("second")
		for all.next[0] < 10 {
			line, _ := second.Line(t)
			all.take(t, line)
		}
		t.Logf("the slots went on within %v of the kill", time.Since(killed).Round(time.Millisecond))
		// It is told to leave, and repeats nothing.
		second.Stop()
		if err := second.Wait(t); err != nil {
			t.Error(err)
		}
		for line, more := second.Line(t); more; line, more = second.Line(t) {
			all.take(t, line)
		}
		third := start("third")
		for len(all.through) < slots {
			line, _ := third.Line(t)
			all.take(t, line)
		}
		repeated := all.judge(t)
		t.Logf("%d items were repeated", repeated)
		if repeated > slots {
			t.Errorf("%d items were repeated after one kill, want one per slot at most", repeated)
		}
		if all.resumed < slots {
			t.Errorf("%d slots went on above zero, want all", all.resumed)
		}
	})
	t.Run("bad-arguments", func(t *testing.T) {
		for _, args := range [][]string{{"-store", "nonsense"}, {"-slots", "0"}, {"-items", "-1"}, {"-id", ""}} {
			if err := program.Start(t, exe, args...).Wait(t); err == nil {
				t.Errorf("%q: no error", args)
			}
		}
	})
}
