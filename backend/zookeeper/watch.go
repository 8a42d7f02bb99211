package zookeeper

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Watch reads the target with ZooKeeper's watches set, and what has changed
// again each time one fires. On every new connection it starts from the
// beginning, behind a barrier: events may have been missed.
func (d *Driver) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if err := driver.CheckTargets(target); err != nil {
		return err
	}
	deliver := driver.Differing(changed)
	for {
		link, err := d.common.up(ctx)
		if err == nil {
			err = d.follow(ctx, link, target, deliver)
		}
		if ctx.Err() != nil || link == nil || link.socket.alive() || !errors.Is(err, driver.ErrUnavailable) {
			return driver.Ended(ctx, err)
		}
	}
}

// follow watches target on one link, until that is lost.
func (d *Driver) follow(ctx context.Context, l *link, target driver.Target, deliver func([]driver.Entry)) error {
	if _, err := d.history.of(ctx, l); err != nil {
		return classify(err, false)
	}
	v := &view{link: l, target: target, follower: &follower{news: make(chan struct{}, 1)}, followed: make(map[string]bool)}
	defer v.close()
	generation := d.history.now()
	if err := l.barrier(ctx); err != nil {
		return classify(err, false)
	}
	for {
		entries, err := v.look(ctx, generation)
		if err != nil {
			return classify(err, false)
		}
		deliver(entries)
		select {
		case <-v.follower.news:
		case <-l.socket.down:
			return classify(errLinkDown, false)
		case <-ctx.Done():
			return classify(context.Cause(ctx), false)
		}
		generation = d.history.now()
	}
}

// view is what a watch knows of its target on one link.
type view struct {
	link     *link
	target   driver.Target
	follower *follower
	followed map[string]bool
	entries  map[string]seen // of a directory, by name
}

// seen is a child of a directory as it was read; it is still so while the
// watch with that number is set. It may be no key.
type seen struct {
	entry  driver.Entry
	key    bool
	number uint64
}

func (v *view) close() {
	for path := range v.followed {
		v.link.watches.unfollow(v.follower, path)
	}
}

func (v *view) follow(path string) {
	if !v.followed[path] {
		v.followed[path] = true
		v.link.watches.follow(v.follower, path)
	}
}

// look reads what may have changed, with watches set for what comes.
func (v *view) look(ctx context.Context, generation uint64) ([]driver.Entry, error) {
	path := nodePath(v.target.Path)
	v.follow(path)
	if v.target.Dir {
		return v.directory(ctx, path, generation)
	}
	w, err := v.link.nodeSet(ctx, path)
	if err != nil {
		return nil, err
	}
	if e, ok := toEntry(path, w.value.data, w.value.stat, generation); ok {
		return []driver.Entry{e}, nil
	}
	return []driver.Entry{}, nil
}

// directory is done when the names have not changed while the values were
// read: an event would have come before the last of the answers. Each round
// reads what the one before did not, or what has changed since: so they become
// short, also where the directory changes more often than it can be read whole.
func (v *view) directory(ctx context.Context, dir string, generation uint64) ([]driver.Entry, error) {
	for {
		names, at, number, err := v.link.namesSet(ctx, dir)
		if err != nil {
			return nil, err
		}
		known, there, err := v.children(ctx, dir, names, generation)
		if err != nil {
			return nil, err
		}
		v.entries = known
		if !there || v.link.watches.number(at) != number || number == 0 {
			if err := breathe(ctx); err != nil {
				return nil, err
			}
			continue
		}
		v.forget(dir)
		entries := make([]driver.Entry, 0, len(known))
		for _, s := range known {
			if s.key {
				entries = append(entries, s.entry)
			}
		}
		driver.SortEntries(entries)
		return entries, nil
	}
}

// forget follows no longer what is not in the directory any more.
func (v *view) forget(dir string) {
	for path := range v.followed {
		name, child := strings.CutPrefix(path, dir+"/")
		if _, ok := v.entries[name]; child && !ok {
			v.link.watches.unfollow(v.follower, path)
			delete(v.followed, path)
		}
	}
}

// breathe lets some changes come together before they are read.
func breathe(ctx context.Context) error {
	timer := time.NewTimer(time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// children reads those children of a directory that are not known as they are
// now, and reports whether all were there; known are those that were.
func (v *view) children(ctx context.Context, dir string, names []string, generation uint64) (known map[string]seen, there bool, _ error) {
	known = make(map[string]seen, len(names))
	var missing []string
	for _, name := range names {
		path := dir + "/" + name
		v.follow(path)
		old, ok := v.entries[name]
		if ok && old.number != 0 && v.link.watches.number(spot{path: path}) == old.number {
			known[name] = old
			continue
		}
		missing = append(missing, name)
	}
	read := make([]watched[node], len(missing))
	err := eachOf(missing, func(i int, name string) (err error) {
		read[i], err = v.link.nodeSet(ctx, dir+"/"+name)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	there = true
	for i, name := range missing {
		n := read[i].value
		if !n.there {
			there = false
			continue
		}
		s := seen{number: read[i].number}
		s.entry, s.key = toEntry(dir+"/"+name, n.data, n.stat, generation)
		known[name] = s
	}
	return known, there, nil
}
