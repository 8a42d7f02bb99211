// Package trust holds the arithmetic of trust windows: how long this process
// may act on what a store has told it.
package trust

import "time"

// Instant is a moment on both of the process's clocks. The monotonic clock
// alone is not enough: it stands still while a machine is suspended. The wall
// clock alone is not enough either: it can be set back.
type Instant struct {
	mono time.Duration // since an arbitrary origin
	wall int64         // Unix nanoseconds
}

var origin = time.Now()

// Now reads both clocks.
func Now() Instant {
	now := time.Now()
	return Instant{mono: now.Sub(origin), wall: now.UnixNano()}
}

// Add returns the instant that both clocks show d later.
func (i Instant) Add(d time.Duration) Instant {
	return Instant{mono: i.mono + d, wall: i.wall + int64(d)}
}

// Sub returns the time from other to i by the monotonic clock.
func (i Instant) Sub(other Instant) time.Duration { return i.mono - other.mono }

// Until returns the time from now until i by the clock that gets there first;
// it is not positive once either has.
func (i Instant) Until(now Instant) time.Duration {
	return min(i.mono-now.mono, time.Duration(i.wall-now.wall))
}

// Passed reports whether, at now, either clock has reached i.
func (i Instant) Passed(now Instant) bool { return i.Until(now) <= 0 }

// Earlier returns whichever of i and other has less time left at now.
func (i Instant) Earlier(other, now Instant) Instant {
	if other.Until(now) < i.Until(now) {
		return other
	}
	return i
}
