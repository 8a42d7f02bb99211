package faults

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/integration/cluster"
)

// victims are what a fault takes away while the store serves all others.
type victims struct {
	began   int64
	server  *cluster.Node // is gone, or not fit to serve
	clients []*process    // are cut off, or gone
	// heard: what these send arrives, so they renew their sessions for as long
	// as they trust themselves.
	heard bool
	// silent: nothing of the server comes, and its connections stand. The adapter
	// for etcd gives up what it was sent, and the connection, after 2 s. A read
	// settles the commit, and needs a raft leader.
	silent bool
	// returns: the server may serve again by itself.
	returns bool
}

// lasts lets such a fault last: for a moment, in which each session may have got
// through or not, or for longer than any session of the victims lives. Then all
// others must be at work, before it is undone: from the store's first write
// while it lasts, or from when the store has let the victims go.
func (r *run) lasts(ctx context.Context, v victims) error {
	if r.random.IntN(2) == 0 {
		pause(r.short())
		return nil
	}
	end := time.Now().Add(r.long())
	others, ways := r.others(v)
	since, err := r.probe.anew(ctx, v.began, ways...)
	if err != nil {
		return fmt.Errorf("while it lasts: %w", err)
	}
	bound := r.bound()
	if len(others) < len(r.clients) {
		since, bound = v.began, r.rig.Expiry(r.ttl)+2*time.Second
	}
	if v.heard {
		bound += r.ttl
	}
	if v.silent && r.rig.Name == "etcd" {
		bound += 5 * time.Second
	}
	r.returns = v.returns
	defer func() { r.returns = false }()
	if r.during, err = r.recover(ctx, since, r.kind, others); err != nil {
		return fmt.Errorf("while it lasts: %w", err)
	}
	r.bounded(r.kind, r.during, bound, 0, " while it lasted")
	pause(time.Until(end))
	return nil
}

// others returns the clients that are no victims, and the ways to write that
// are open to them: on Consul each has one server, its agent.
func (r *run) others(v victims) (others []*process, ways []int) {
	nodes := r.cluster.Nodes()
	gone := slices.Index(nodes, v.server)
	for i, p := range r.clients {
		if cut := r.rig.Name == "consul" && i%len(nodes) == gone; !cut && !slices.Contains(v.clients, p) {
			others = append(others, p)
		}
	}
	for way := range r.admin.ways() {
		if r.admin.ways() == 1 || way != gone {
			ways = append(ways, way)
		}
	}
	return others, ways
}

// agents returns the clients on Consul whose agent a server is.
func (r *run) agents(node int) (all []*process) {
	for i, p := range r.clients {
		if r.rig.Name == "consul" && i%len(r.cluster.Nodes()) == node {
			all = append(all, p)
		}
	}
	return all
}
