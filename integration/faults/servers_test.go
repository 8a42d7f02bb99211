package faults

import (
	"context"
	"time"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

func leaderKilled(ctx context.Context, r *run) error {
	leader, err := r.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	return r.killed(ctx, leader)
}

func followerKilled(ctx context.Context, r *run) error {
	follower, err := r.cluster.NotLeader(ctx)
	if err != nil {
		return err
	}
	return r.killed(ctx, follower)
}

// killed kills servers, and starts them again after a while.
func (r *run) killed(ctx context.Context, servers ...*cluster.Node) error {
	for _, n := range servers {
		if err := n.Kill(); err != nil {
			return err
		}
	}
	began := harness.Now()
	if len(servers) > 1 {
		pause(r.either())
	} else if err := r.lasts(ctx, victims{began: began, server: servers[0]}); err != nil {
		return err
	}
	r.heals()
	for _, n := range servers {
		if err := n.Launch(); err != nil {
			return err
		}
	}
	return r.cluster.WaitReady(ctx)
}

func leaderPaused(ctx context.Context, r *run) error {
	leader, err := r.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	return r.paused(ctx, leader)
}

func followerPaused(ctx context.Context, r *run) error {
	follower, err := r.cluster.NotLeader(ctx)
	if err != nil {
		return err
	}
	return r.paused(ctx, follower)
}

// paused pauses a server until the others have done without it for a while,
// long enough to be deposed and for every session to expire or not.
func (r *run) paused(ctx context.Context, n *cluster.Node) error {
	if err := n.Pause(); err != nil {
		return err
	}
	began := harness.Now()
	if _, err := r.cluster.Leader(ctx); err != nil {
		return err
	}
	if err := r.lasts(ctx, victims{began: began, server: n, silent: true}); err != nil {
		return err
	}
	r.heals()
	if err := n.Resume(); err != nil {
		return err
	}
	return r.cluster.WaitReady(ctx)
}

func quorumLost(ctx context.Context, r *run) error {
	nodes := r.cluster.Nodes()
	spared := r.random.IntN(len(nodes))
	var servers []*cluster.Node
	for i, n := range nodes {
		if i != spared {
			servers = append(servers, n)
		}
	}
	return r.killed(ctx, servers...)
}

func outage(ctx context.Context, r *run) error {
	return r.killed(ctx, r.cluster.Nodes()...)
}

// wiped has all servers start on empty disks.
func wiped(ctx context.Context, r *run) error {
	pause(r.draw(time.Second)) // so that it does not come when all has just settled
	if err := r.judgeTally(ctx); err != nil {
		return err
	}
	if err := r.cluster.KillAll(); err != nil {
		return err
	}
	r.goesBack(rewind{begin: r.read()})
	for _, n := range r.cluster.Nodes() {
		if err := n.Wipe(); err != nil {
			return err
		}
	}
	r.heals()
	if err := r.cluster.StartAll(ctx); err != nil {
		return err
	}
	r.wentBack()
	return nil
}

func restored(ctx context.Context, r *run) error      { return r.restored(ctx, true) }
func restoredPlain(ctx context.Context, r *run) error { return r.restored(ctx, false) }

// restored takes a backup and puts it back after a while.
func (r *run) restored(ctx context.Context, bump bool) error {
	var back rewind
	var err error
	sums := func(i int) error {
		back.backup[i] = r.read()
		if back.counts[i], err = r.counter().Value(ctx); err != nil {
			return err
		}
		if back.tallies[i], err = r.tally(ctx); err != nil {
			return err
		}
		return nil
	}
	if err := sums(0); err != nil {
		return err
	}
	backup, err := r.cluster.Snapshot(ctx)
	if err != nil {
		return err
	}
	if err := sums(1); err != nil {
		return err
	}
	pause(r.either())
	if err := r.judgeTally(ctx); err != nil {
		return err
	}
	serves := r.rig.Name == "consul" // while it is restored
	if !serves {
		if err := r.cluster.KillAll(); err != nil {
			return err
		}
	}
	back.begin = r.read()
	r.goesBack(back)
	if !serves {
		r.heals()
	}
	if err := backup.Restore(ctx, bump); err != nil {
		return err
	}
	if serves {
		r.heals()
	}
	r.wentBack()
	return nil
}
