package model

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// Step is one thing that can happen: who does what. A fault is something that
// the protocol does not bring about itself; see Protocol.Good.
type Step struct {
	Who   string
	What  string
	Fault bool
}

func (s Step) String() string {
	mark := " "
	if s.Fault {
		mark = "!"
	}
	return fmt.Sprintf("%s %-6s %s", mark, s.Who, s.What)
}

// Protocol is what Search explores: a state, the steps from it, and what has to
// hold. S is compared as a whole, so it holds values only; ghosts, which no
// step of the code looks at, are fields like the others.
type Protocol[S comparable] struct {
	Init S
	// Next calls took once for each step that can be taken in s, always in the
	// same order, with the state it leads to.
	Next func(s S, took func(Step, S))
	// Broken returns the sentence that does not hold in s, or "".
	Broken func(s S) string
	// Good says that all is well in s: from every state that can be reached, a
	// good one must be reachable by steps that are no faults. Demand, if not
	// nil, says of which states that is asked.
	Good   func(s S) bool
	Demand func(s S) bool
}

// Stuck is the sentence that fails where no good state can be reached.
const Stuck = "stuck: nothing good can happen any more without a further fault"

// Result is what a search found.
type Result struct {
	States  int
	Depth   int // steps from the first state to the farthest one seen
	Broken  string
	Trace   []Step // the shortest way to it
	Cut     bool   // there are states that were not visited
	Live    bool   // Good was asked for and holds
	Elapsed time.Duration
}

// Holds reports that every state was visited and nothing is broken.
func (r Result) Holds() bool { return r.Broken == "" && !r.Cut }

// Verdict says it in words. A search that was cut off never passes for a
// complete one.
func (r Result) Verdict() string {
	switch {
	case r.Broken != "":
		return fmt.Sprintf("broken in %d steps: %s", len(r.Trace), r.Broken)
	case r.Cut:
		return fmt.Sprintf("cut off: holds to depth %d, liveness not asked", r.Depth)
	case r.Live:
		return "holds, complete, live"
	default:
		return "holds, complete"
	}
}

// Steps is the trace, a line per step.
func (r Result) Steps() string {
	var b strings.Builder
	for i, step := range r.Trace {
		fmt.Fprintf(&b, "%3d %s\n", i+1, step)
	}
	return b.String()
}

// digest stands for a state: 128 bits, so that ten million states are told
// apart with a chance of error below 10^-24, and one takes 16 bytes.
type digest [2]uint64

// search is a breadth-first search, so the first trace that it finds is a
// shortest one.
type search[S comparable] struct {
	Protocol[S]
	seeds    [2]maphash.Seed
	seen     map[digest]int32
	origin   []origin // of each state, by its number
	from, to []int32  // the steps that are no faults
	good     []bool
	demanded []bool
}

// origin is the state before, and which of its steps was taken.
type origin struct{ before, step int32 }

// Search visits every state that can be reached, until something is broken or
// limit states were seen.
func Search[S comparable](p Protocol[S], limit int) Result {
	began := time.Now()
	s := &search[S]{Protocol: p, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, seen: make(map[digest]int32)}
	r := s.explore(limit)
	if r.Broken == "" && !r.Cut && p.Good != nil {
		if at, ok := s.stuck(); ok {
			r.Broken, r.Trace = Stuck, s.trace(at)
		} else {
			r.Live = true
		}
	}
	r.States, r.Elapsed = len(s.origin), time.Since(began)
	return r
}

// number returns the number of a state, and whether it is a new one.
func (s *search[S]) number(state S, o origin) (int32, bool) {
	d := digest{maphash.Comparable(s.seeds[0], state), maphash.Comparable(s.seeds[1], state)}
	if n, ok := s.seen[d]; ok {
		return n, false
	}
	n := int32(len(s.origin))
	s.seen[d] = n
	s.origin = append(s.origin, o)
	if s.Good != nil {
		s.good = append(s.good, s.Good(state))
		s.demanded = append(s.demanded, s.Demand == nil || s.Demand(state))
	}
	return n, true
}

func (s *search[S]) explore(limit int) (r Result) {
	s.number(s.Init, origin{-1, 0})
	if r.Broken = s.Protocol.Broken(s.Init); r.Broken != "" {
		return r
	}
	layer := []S{s.Init}
	first := int32(0) // the number of layer[0]; they follow one another
	for len(layer) > 0 {
		if len(s.origin) > limit {
			r.Cut = true
			return r
		}
		var next []S
		for i, state := range layer {
			n, steps := first+int32(i), int32(0)
			s.Next(state, func(step Step, after S) {
				steps++
				m, fresh := s.number(after, origin{n, steps})
				if s.Good != nil && !step.Fault && m != n {
					s.from, s.to = append(s.from, n), append(s.to, m)
				}
				if !fresh {
					return
				}
				next = append(next, after)
				if r.Broken == "" {
					if r.Broken = s.Protocol.Broken(after); r.Broken != "" {
						r.Trace = s.trace(m)
					}
				}
			})
			if r.Broken != "" {
				r.Depth++
				return r
			}
		}
		first += int32(len(layer))
		layer = next
		if len(layer) > 0 {
			r.Depth++
		}
	}
	return r
}

// trace takes the steps to a state once more, for their names.
func (s *search[S]) trace(n int32) []Step {
	var way []int32
	for ; s.origin[n].before >= 0; n = s.origin[n].before {
		way = append(way, s.origin[n].step)
	}
	steps := make([]Step, 0, len(way))
	state := s.Init
	for _, which := range slices.Backward(way) {
		at, taken := state, int32(0)
		s.Next(at, func(step Step, after S) {
			if taken++; taken == which {
				steps, state = append(steps, step), after
			}
		})
	}
	return steps
}

// stuck returns the first state of which a good one is demanded and none can be
// reached, by going backwards from all good ones.
func (s *search[S]) stuck() (int32, bool) {
	total := len(s.origin)
	start := make([]int32, total+1) // of the steps into a state, in into
	for _, to := range s.to {
		start[to+1]++
	}
	for i := range total {
		start[i+1] += start[i]
	}
	into, fill := make([]int32, len(s.to)), append([]int32(nil), start...)
	for i, to := range s.to {
		into[fill[to]] = s.from[i]
		fill[to]++
	}
	reaches := append([]bool(nil), s.good...)
	var open []int32
	for i, good := range s.good {
		if good {
			open = append(open, int32(i))
		}
	}
	for len(open) > 0 {
		last := open[len(open)-1]
		open = open[:len(open)-1]
		for _, before := range into[start[last]:start[last+1]] {
			if !reaches[before] {
				reaches[before] = true
				open = append(open, before)
			}
		}
	}
	for i := range reaches {
		if s.demanded[i] && !reaches[i] {
			return int32(i), true
		}
	}
	return 0, false
}
