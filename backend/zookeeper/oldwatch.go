package zookeeper

import (
	"context"
	"strings"
	"sync"

	"github.com/quorate/quorate/backend/driver"
)

// together is how many children of a directory are asked for at a time.
const together = 16

// followOld watches target on one connection to a server from before 3.6, until
// that is lost.
func (d *Driver) followOld(ctx context.Context, l *conn, target driver.Target, deliver func([]driver.Entry)) error {
	if _, err := d.generations.of(ctx, l); err != nil {
		return classify(err, false)
	}
	v := &view{conn: l, target: target, follower: &follower{news: make(chan struct{}, 1)}, followed: make(map[string]bool)}
	defer v.close()
	generation := d.generations.now()
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
		case <-l.net.down:
			return classify(errConnLost, false)
		case <-ctx.Done():
			return classify(context.Cause(ctx), false)
		}
		generation = d.generations.now()
	}
}

// view is what a watch knows of its target on one connection to an old server.
type view struct {
	conn     *conn
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
		v.conn.watches.unfollow(v.follower, path)
	}
}

func (v *view) follow(path string) {
	if !v.followed[path] {
		v.followed[path] = true
		v.conn.watches.follow(v.follower, path)
	}
}

// look reads what may have changed, and sets watches for the next changes.
func (v *view) look(ctx context.Context, generation uint64) ([]driver.Entry, error) {
	path := nodePath(v.target.Path)
	v.follow(path)
	if v.target.Dir {
		return v.directory(ctx, path, generation)
	}
	w, err := v.conn.nodeSet(ctx, path)
	if err != nil {
		return nil, err
	}
	if e, ok := toEntry(path, w.value.data, w.value.stat, generation); ok {
		return []driver.Entry{e}, nil
	}
	return []driver.Entry{}, nil
}

// directory returns when the names have not changed while the values were read:
// an event would have come before the last of the answers. Each round reads only
// what the one before did not, and what has changed since. So the rounds become
// short, even if the directory changes faster than it can be read whole.
func (v *view) directory(ctx context.Context, dir string, generation uint64) ([]driver.Entry, error) {
	for {
		names, at, number, err := v.conn.namesSet(ctx, dir)
		if err != nil {
			return nil, err
		}
		known, there, err := v.children(ctx, dir, names, generation)
		if err != nil {
			return nil, err
		}
		v.entries = known
		if !there || v.conn.watches.number(at) != number || number == 0 {
			if err := breathe(ctx, 1); err != nil {
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

// forget stops following the nodes that have left the directory.
func (v *view) forget(dir string) {
	for path := range v.followed {
		name, child := strings.CutPrefix(path, dir+"/")
		if _, ok := v.entries[name]; child && !ok {
			v.conn.watches.unfollow(v.follower, path)
			delete(v.followed, path)
		}
	}
}

// children reads those children of a directory whose present state is not known.
// It returns those that were there, and whether all were.
func (v *view) children(ctx context.Context, dir string, names []string, generation uint64) (known map[string]seen, there bool, _ error) {
	known = make(map[string]seen, len(names))
	var missing []string
	for _, name := range names {
		path := dir + "/" + name
		v.follow(path)
		old, ok := v.entries[name]
		if ok && old.number != 0 && v.conn.watches.number(watchPoint{path: path}) == old.number {
			known[name] = old
			continue
		}
		missing = append(missing, name)
	}
	read := make([]watched[node], len(missing))
	err := eachOf(missing, func(i int, name string) (err error) {
		read[i], err = v.conn.nodeSet(ctx, dir+"/"+name)
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

// eachOf calls do with each name, some at a time, until one fails.
func eachOf(names []string, do func(i int, name string) error) error {
	errs := make([]error, together)
	var all sync.WaitGroup
	for worker := range min(together, len(names)) {
		all.Go(func() {
			for i := worker; i < len(names) && errs[worker] == nil; i += together {
				errs[worker] = do(i, names[i])
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
