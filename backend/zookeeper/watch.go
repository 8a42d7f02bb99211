package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
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
	call, end, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	deliver := differing(changed)
	var w watch = &leafWatch{path: nodePath(target.Path), deliver: deliver}
	if target.Dir {
		w = &treeWatch{dir: nodePath(target.Path), deliver: deliver}
	}
	for {
		c, err := d.common.up(call)
		switch {
		case err != nil:
		case c.modern:
			err = d.follow(call, c, w)
		default:
			err = d.followOld(call, c, target, deliver)
		}
		if call.Err() != nil || c == nil || c.net.alive() || !errors.Is(err, driver.ErrUnavailable) {
			return d.ended(call, err)
		}
	}
}

// differing passes on only what differs from what it passed on last.
func differing(changed func([]driver.Entry)) func([]driver.Entry) {
	var last []driver.Entry
	first := true
	return func(entries []driver.Entry) {
		if !first && slices.EqualFunc(last, entries, same) {
			return
		}
		first, last = false, entries
		own := slices.Clone(entries)
		for i := range own {
			own[i].Value = bytes.Clone(own[i].Value)
		}
		changed(own)
	}
}

func same(a, b driver.Entry) bool {
	return a.Key == b.Key && a.Version == b.Version && a.Created == b.Created && a.Modified == b.Modified &&
		a.Lease == b.Lease && bytes.Equal(a.Value, b.Value)
}

// relist is how often everything that is watched is read again, whether there
// was an event or not.
const relist = 10 * time.Minute

// watch is what a Watch does on a connection to a modern server: it goes on
// from connection to connection.
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
