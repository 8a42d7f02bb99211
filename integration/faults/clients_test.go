package faults

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quorate/quorate/integration/harness"
)

func clientParted(ctx context.Context, r *run) error {
	p := r.someone()
	v := victims{began: harness.Now(), clients: []*process{p}}
	p.net.Silence()
	if err := r.lasts(ctx, v); err != nil {
		return err
	}
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
// off and others are not touched. Some client is connected to it.
func partedFromOne(ctx context.Context, r *run) error {
	var nodes []int
	for node := range r.cluster.Nodes() {
		if slices.ContainsFunc(r.clients, func(p *process) bool { return p.net.Node(node).Stats().Connections > 0 }) {
			nodes = append(nodes, node)
		}
	}
	if len(nodes) == 0 {
		return errors.New("no client has a connection")
	}
	node := nodes[r.random.IntN(len(nodes))]
	v := victims{began: harness.Now(), clients: r.agents(node), silent: true}
	for _, p := range r.clients {
		p.net.Node(node).Silence()
	}
	if err := r.lasts(ctx, v); err != nil {
		return err
	}
	r.heals()
	for _, p := range r.clients {
		p.net.Node(node).HealReset()
	}
	return nil
}

// oneWay loses all that goes one way: requests that are never heard of, or
// replies to what was done.
func oneWay(ctx context.Context, r *run) error {
	some := r.clients
	if r.random.IntN(2) == 0 {
		some = []*process{r.someone()}
	}
	heard := r.random.IntN(2) == 0
	v := victims{began: harness.Now(), clients: some, heard: heard}
	for _, p := range some {
		if heard {
			p.net.Mute()
		} else {
			p.net.Deafen()
		}
	}
	if len(some) == len(r.clients) {
		pause(r.either())
	} else if err := r.lasts(ctx, v); err != nil {
		return err
	}
	r.heals()
	for _, p := range some {
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
func repliesHeld(ctx context.Context, r *run) error {
	p := r.someone()
	v := victims{began: harness.Now(), clients: []*process{p}, heard: true}
	p.net.HoldReplies()
	if err := r.lasts(ctx, v); err != nil {
		return err
	}
	r.heals()
	p.net.ReleaseReplies()
	return nil
}

// requestsHeld lets the requests of a while arrive together, late: commits
// that nobody waits for any more.
func requestsHeld(ctx context.Context, r *run) error {
	p := r.someone()
	v := victims{began: harness.Now(), clients: []*process{p}}
	p.net.HoldRequests()
	if err := r.lasts(ctx, v); err != nil {
		return err
	}
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

func clientPaused(ctx context.Context, r *run) error {
	p := r.someone()
	v := victims{began: harness.Now(), clients: []*process{p}}
	if err := p.Stop(); err != nil {
		return err
	}
	if err := r.lasts(ctx, v); err != nil {
		return err
	}
	r.heals()
	return p.Resume()
}

// clientKilled kills a client, and starts another in its place after a while.
func clientKilled(ctx context.Context, r *run) error {
	p := r.someone()
	v := victims{began: harness.Now(), clients: []*process{p}}
	if err := p.Kill(); err != nil {
		return err
	}
	if err := r.lasts(ctx, v); err != nil {
		return err
	}
	_, err := r.start(p.id, p)
	r.heals()
	return err
}
