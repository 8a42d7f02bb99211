package trust

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWindowClosesAtItsDeadlineAndStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var ended time.Duration
		w := NewWindow(Now().Add(5*time.Second), time.Second, func() { ended = time.Since(start) })
		time.Sleep(4 * time.Second)
		if !w.Extend(Now(), Now().Add(5*time.Second)) {
			t.Fatal("Extend inside the window was refused")
		}
		if !w.Extend(Now(), Now().Add(time.Second)) || w.Left() != 5*time.Second {
			t.Fatalf("an earlier deadline shortened the window to %v", w.Left())
		}
		time.Sleep(5*time.Second - 1)
		if !w.Open() {
			t.Fatal("closed before its deadline")
		}
		time.Sleep(1)
		if w.Open() {
			t.Fatal("open at its deadline")
		}
		synctest.Wait()
		if ended != 9*time.Second {
			t.Fatalf("ended was called after %v, want 9s", ended)
		}
		if w.Extend(Now(), Now().Add(time.Hour)) || w.Open() {
			t.Fatal("a window that closed was opened again")
		}
	})
}

func TestExtendCountsOnlyWhatBeganInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWindow(Now().Add(time.Second), time.Second, func() {})
		defer w.Close()
		start := Now().Add(time.Second)
		if w.Extend(start, start.Add(time.Hour)) {
			t.Fatal("what began at the deadline counted")
		}
	})
}

func TestCloseIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWindow(Now().Add(time.Second), time.Second, func() { t.Error("ended was called after Close") })
		w.Close()
		if w.Open() || w.Left() != 0 {
			t.Error("open after Close")
		}
		time.Sleep(time.Minute)
	})
}

func TestWallClockAheadClosesWithinTheCheck(t *testing.T) {
	// A suspension leaves the monotonic clock behind the wall clock: the
	// deadline is an hour away by one and has passed by the other.
	synctest.Test(t, func(t *testing.T) {
		now := Now()
		ended := make(chan struct{})
		w := NewWindow(Instant{mono: now.mono + time.Hour, wall: now.wall + int64(2*time.Second)}, time.Second, func() { close(ended) })
		time.Sleep(3 * time.Second)
		if w.Open() {
			t.Fatal("open although the wall clock has passed the deadline")
		}
		select {
		case <-ended:
		default:
			t.Fatal("ended was not called within a check")
		}
	})
}
