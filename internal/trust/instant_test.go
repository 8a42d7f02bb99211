package trust

import (
	"testing"
	"time"
)

func TestEitherClockEndsTrust(t *testing.T) {
	start := Now()
	deadline := start.Add(time.Second)
	for name, c := range map[string]struct {
		mono, wall time.Duration
		passed     bool
	}{
		"both before":                {999 * time.Millisecond, 999 * time.Millisecond, false},
		"monotonic reaches it":       {time.Second, 0, true},
		"wall reaches it, suspended": {0, time.Second, true},
		"wall was set back":          {time.Second, -time.Hour, true},
		"wall was set back, early":   {time.Millisecond, -time.Hour, false},
		"both after":                 {2 * time.Second, 2 * time.Second, true},
	} {
		now := Instant{mono: start.mono + c.mono, wall: start.wall + int64(c.wall)}
		if got := deadline.Passed(now); got != c.passed {
			t.Errorf("%s: Passed = %v, want %v", name, got, c.passed)
		}
		if left := deadline.Until(now); (left <= 0) != c.passed {
			t.Errorf("%s: Until = %v, Passed %v", name, left, c.passed)
		}
	}
}

func TestEarlierGoesByWhatIsLeft(t *testing.T) {
	now := Now()
	late, soon := now.Add(2*time.Second), now.Add(time.Second)
	if late.Earlier(soon, now) != soon || soon.Earlier(late, now) != soon {
		t.Fatal("Earlier did not choose the deadline with less time left")
	}
	// A deadline set before a suspension is near by the wall clock only.
	before := Instant{mono: now.mono + time.Hour, wall: now.wall + int64(time.Millisecond)}
	if soon.Earlier(before, now) != before {
		t.Fatal("Earlier ignored the wall clock")
	}
}
