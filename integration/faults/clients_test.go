package faults

import (
	"context"
	"time"
)

func clientParted(_ context.Context, r *run) error {
	p := r.someone()
	p.net.Silence()
	pause(r.either())
	r.heals()
	p.net.HealReset()
	return nil
}

func clientsParted(_ context.Context, r *run) error {
	for _, p := range r.clients {
		p.net.Silence()
	}
	pause(r.either())
	r.heals()
	for _, p := range r.clients {
		p.net.HealReset()
	}
	return nil
}

// partedFromOne parts all clients from one server, which the other servers
// still see. On Consul each client has one server only, so that some are cut
// off and others are not touched.
func partedFromOne(_ context.Context, r *run) error {
	node := r.random.IntN(len(r.cluster.Nodes()))
	for _, p := range r.clients {
		p.net.Node(node).Silence()
	}
	pause(r.either())
	r.heals()
	for _, p := range r.clients {
		p.net.Node(node).HealReset()
	}
	return nil
}

// oneWay loses all that goes one way: requests that are never heard of, or
// replies to what was done.
func oneWay(_ context.Context, r *run) error {
	victims := r.clients
	if r.random.IntN(2) == 0 {
		victims = []*process{r.someone()}
	}
	mute := r.random.IntN(2) == 0
	for _, p := range victims {
		if mute {
			p.net.Mute()
		} else {
			p.net.Deafen()
		}
	}
	pause(r.either())
	r.heals()
	for _, p := range victims {
		p.net.HealReset()
	}
	return nil
}

func latency(_ context.Context, r *run) error {
	for _, p := range r.clients {
		p.net.Delay(50*time.Millisecond, 250*time.Millisecond)
	}
	pause(r.long())
	r.heals()
	for _, p := range r.clients {
		p.net.Delay(0, 0)
	}
	return nil
}

// repliesHeld lets the replies of a while arrive together, late.
func repliesHeld(_ context.Context, r *run) error {
	p := r.someone()
	p.net.HoldReplies()
	pause(r.either())
	r.heals()
	p.net.ReleaseReplies()
	return nil
}

// requestsHeld lets the requests of a while arrive together, late: commits
// that nobody waits for any more.
func requestsHeld(_ context.Context, r *run) error {
	p := r.someone()
	p.net.HoldRequests()
	pause(r.either())
	r.heals()
	p.net.ReleaseRequests()
	return nil
}

func resets(_ context.Context, r *run) error {
	for until := time.Now().Add(r.ttl + r.draw(r.ttl)); time.Now().Before(until); {
		pause(100*time.Millisecond + r.draw(300*time.Millisecond))
		for _, p := range r.clients {
			p.net.ResetAll()
		}
	}
	return nil
}

func clientPaused(_ context.Context, r *run) error {
	p := r.someone()
	if err := p.Stop(); err != nil {
		return err
	}
	pause(r.either())
	r.heals()
	return p.Resume()
}

// clientKilled kills a client, and starts another in its place after a while.
func clientKilled(_ context.Context, r *run) error {
	p := r.someone()
	p.Kill()
	pause(r.either())
	_, err := r.start(p.id, p)
	r.heals()
	return err
}
