package faults

import (
	"math/rand/v2"
	"time"
)

// Rates say how often what happens to a call, as probabilities of each kind of
// fault for itself, and up to how long delays are.
type Rates struct {
	Refuse, LoseReply, LandLater, Hollow, Slow float64

	MaxDelay time.Duration // of Slow, for request and reply each
	MaxLate  time.Duration // of LandLater
}

type chaos struct {
	rates  Rates
	random *rand.Rand
}

// Chaos makes calls fail at random from now on: the same seed and the same
// order of calls give the same faults. Zero rates end it. Rules of Next go
// first.
func (d *Driver) Chaos(seed uint64, rates Rates) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.chaos = nil
	if rates != (Rates{}) {
		d.chaos = &chaos{rates: rates, random: rand.New(rand.NewPCG(seed, 0))}
	}
}

// fault draws the fault of a call. It draws all parts whatever the kind, so
// that the sequence depends on the number of calls alone.
func (c *chaos) fault(kind Kind) Fault {
	r := c.rates
	slow := c.hits(r.Slow)
	f := Fault{
		Refuse:    c.hits(r.Refuse),
		LoseReply: c.hits(r.LoseReply),
		Hollow:    c.hits(r.Hollow),
	}
	late, delay, reply := c.upTo(r.MaxLate), c.upTo(r.MaxDelay), c.upTo(r.MaxDelay)
	if c.hits(r.LandLater) && kind == Commit {
		f.LandLater = late
	}
	if slow {
		f.Delay, f.ReplyDelay = delay, reply
	}
	return f
}

func (c *chaos) hits(p float64) bool { return c.random.Float64() < p }

func (c *chaos) upTo(limit time.Duration) time.Duration {
	return time.Duration(c.random.Float64() * float64(limit))
}
