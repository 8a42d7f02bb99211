package schedule

import "time"

// Next returns the tick that follows last, for a process whose clock shows now.
func Next(ticks Ticks, missed Missed, last, now time.Time) (time.Time, error) {
	return (&Schedule{ticks: ticks, opts: Options{Missed: missed}}).next(last, now)
}
