package ids

import "time"

// SetClock has the generator ask another clock for the time.
func SetClock(g *Generator, wall func() time.Time) { g.wall = wall }
