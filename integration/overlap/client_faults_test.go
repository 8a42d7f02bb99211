package overlap

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
)

// fault is something that happens to the candidate that leads.
type fault struct {
	name string
	// paused: the process itself stood still, so only lines count whose
	// validity was asked after the clock was read.
	paused bool
	do     func(t *testing.T, c *contest)
}

func clientFaults() []fault {
	faults := []fault{
		{"a-black-holed-3xTTL", false, blackHoled},
		{"c-paused-2xTTL", true, paused},
		{"c-paused-0.9xTTL-with-a-reply-in-the-buffer", true, pausedWithReply},
	}
	for _, part := range []float64{0.5, 0.6, 0.9} {
		faults = append(faults, fault{fmt.Sprintf("b-reply-held-%.1fxTTL-then-silence", part), false, replyHeld(part)})
	}
	return faults
}

func blackHoled(t *testing.T, c *contest) {
	old := c.both[0]
	old.proxies.Silence()
	pause(3 * c.rig.system.ttl)
	c.succeeded(t)
}

// replyHeld holds the reply to one renewal for a part of the TTL, delivers it,
// and lets nothing through any more.
func replyHeld(part float64) func(*testing.T, *contest) {
	return func(t *testing.T, c *contest) {
		old := c.both[0]
		holdRenewal(t, old)
		pause(time.Duration(part * float64(c.rig.system.ttl)))
		old.proxies.FlushReplies()
		old.proxies.Silence()
		c.succeeded(t)
	}
}

// holdRenewal holds replies, and returns when there is one to hold: a leader
// at rest asks for nothing but renewals.
func holdRenewal(t *testing.T, cand *candidate) {
	t.Helper()
	cand.proxies.HoldReplies()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := cand.proxies.Await(ctx, func(s cluster.Stats) bool { return s.HeldReplies > 0 }); err != nil {
		t.Fatalf("no renewal: %v", err)
	}
}

func paused(t *testing.T, c *contest) {
	old := c.both[0]
	must(t, old.Stop())
	pause(2 * c.rig.system.ttl)
	// Consul may keep a session for more than two TTLs.
	c.await(t, 3*c.rig.system.expiry(), "the other leads", func(v verdict) bool { return v.tenures > 1 })
	must(t, old.Resume())
	c.succeeded(t)
}

func pausedWithReply(t *testing.T, c *contest) {
	old := c.both[0]
	holdRenewal(t, old)
	must(t, old.Stop())
	old.proxies.FlushReplies()
	pause(c.rig.system.ttl * 9 / 10)
	old.proxies.Silence()
	must(t, old.Resume())
	c.succeeded(t)
}

// The tests run on each store.
func TestOverlap(t *testing.T)     { eachSystem(t, runClientFaults) }
func TestUndisturbed(t *testing.T) { eachSystem(t, runUndisturbed) }

// runClientFaults runs every fault some rounds, all faults of a round side by
// side, each in an election of its own.
func runClientFaults(t *testing.T, s system) {
	r := startRig(t, s)
	var sums summaries
	recipes := []string{"ours"}
	if os.Getenv("QUORATE_STOCK") != "" {
		recipes = append(recipes, "stock")
	}
	for round := range rounds(t) {
		t.Run(fmt.Sprintf("round-%d", round+1), func(t *testing.T) {
			for _, f := range clientFaults() {
				for _, recipe := range recipes {
					t.Run(recipe+"/"+f.name, func(t *testing.T) {
						t.Parallel()
						c := r.contest(t, fmt.Sprintf("%s-%s-%d", recipe, f.name, round), task{Stock: recipe == "stock"})
						f.do(t, c)
						c.stop(t)
						v := judge(c.lines(t), f.paused)
						t.Log(v)
						sums.add(recipe+" "+f.name, v)
						if recipe == "ours" {
							v.require(t)
						}
					})
				}
			}
		})
	}
	t.Logf("%s, TTL %v, two candidates:\n%s", s.name, r.system.ttl, sums.table())
}

// require fails the test where the promise is broken.
func (v verdict) require(t *testing.T) {
	t.Helper()
	if v.tenures < 2 {
		t.Errorf("nobody took over: %v", v)
	}
	if v.overlap > 0 {
		t.Errorf("two led for %v", v.overlap)
	}
	if v.stale > 0 {
		t.Errorf("%d lines said to be valid were stale", v.stale)
	}
	if v.applied > 0 {
		t.Errorf("%d writes under the guard of an old term were applied", v.applied)
	}
	if v.fenced == 0 {
		t.Error("no write under the guard of an old term was refused")
	}
	for i := 1; i < len(v.terms); i++ {
		if v.terms[i] <= v.terms[i-1] {
			t.Errorf("terms did not grow: %v", v.terms)
		}
	}
}

// runUndisturbed checks that zero overlap means something: left alone for
// twelve TTLs, a leader keeps its session and its office.
func runUndisturbed(t *testing.T, s system) {
	r := startRig(t, s)
	long := 12 * s.ttl
	c := r.contest(t, "undisturbed", task{})
	pause(long)
	c.stop(t)
	v := judge(c.lines(t), false)
	t.Logf("%v: %v", long, v)
	if v.lost > 0 {
		t.Errorf("%d sessions lost", v.lost)
	}
	first := c.lines(t)[0]
	for _, l := range c.lines(t) {
		if l.who != first.who && l.kind == "valid" {
			if last := lastOf(c.lines(t), first.who); l.at < last {
				t.Error("the leader changed")
			}
			break
		}
	}
}

func lastOf(lines []line, who int) (at int64) {
	for _, l := range lines {
		if l.who == who && l.kind == "valid" {
			at = max(at, l.at)
		}
	}
	return at
}
