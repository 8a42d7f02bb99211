package zookeeper

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Watch reads the target with a watch set, and then what has changed. On every
// new connection it reads everything again, behind a barrier: events may have
// been missed.
func (d *Driver) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if err := driver.CheckTargets(target); err != nil {
		return err
	}
	deliver := driver.Differing(changed)
	var w watch = &leafWatch{path: nodePath(target.Path), deliver: deliver}
	if target.Dir {
		w = &treeWatch{dir: nodePath(target.Path), deliver: deliver}
	}
	for {
		c, err := d.common.up(ctx)
		switch {
		case err != nil:
		case c.modern:
			err = d.follow(ctx, c, w)
		default:
			err = d.followOld(ctx, c, target, deliver)
		}
		if ctx.Err() != nil || c == nil || c.net.alive() || !errors.Is(err, driver.ErrUnavailable) {
			return driver.Ended(ctx, err)
		}
	}
}

// relist is the pause between two complete reads of what is watched, with or
// without events.
const relist = 10 * time.Minute

// watch is the state of a Watch on modern servers. It continues from connection
// to connection.
type watch interface {
	attach(c *conn) *subscriber
	detach()
	refresh()
	look(ctx context.Context, generation uint64, first ...request) error
}

// follow watches on one connection until that is lost.
func (d *Driver) follow(ctx context.Context, c *conn, w watch) error {
	if _, err := d.generations.of(ctx, c); err != nil {
		return classify(err, false)
	}
	sub := w.attach(c)
	defer w.detach()
	again := time.NewTimer(d.relist - rand.N(d.relist/10))
	defer again.Stop()
	for first := []request{c.quorum()}; ; first = nil {
		if err := w.look(ctx, d.generations.now(), first...); err != nil {
			return classify(err, false)
		}
		select {
		case <-sub.news:
		case <-again.C:
			again.Reset(d.relist - rand.N(d.relist/10))
			w.refresh()
		case <-c.net.down:
			return classify(errConnLost, false)
		case <-ctx.Done():
			return classify(context.Cause(ctx), false)
		}
	}
}
