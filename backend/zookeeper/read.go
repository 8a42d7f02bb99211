package zookeeper

import (
	"context"
	"errors"
	"sync"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// together is how many children of a directory are asked for at a time.
const together = 16

// Read reads one target after the other behind one barrier, on one connection:
// a server answers what comes after the barrier with no less than what a
// quorum had agreed upon when it was sent, and never goes back.
func (d *Driver) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	if err := driver.CheckTargets(targets...); err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, nil
	}
	states, err := d.read(ctx, targets)
	return states, driver.Ended(ctx, err)
}

func (d *Driver) read(ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
	link, err := d.common.up(ctx)
	if err != nil {
		return nil, err
	}
	generation, err := d.history.of(ctx, link)
	if err != nil {
		return nil, classify(err, false)
	}
	if err := link.barrier(ctx); err != nil {
		return nil, classify(err, false)
	}
	states := make([][]driver.Entry, len(targets))
	for i, t := range targets {
		if t.Dir {
			states[i], err = link.list(ctx, nodePath(t.Path), generation)
		} else {
			states[i], err = link.key(ctx, nodePath(t.Path), generation)
		}
		if err != nil {
			return nil, classify(err, false)
		}
	}
	return states, nil
}

// node is what a node shows.
type node struct {
	data  []byte
	stat  *zk.Stat
	there bool
}

// get asks for a node.
func (l *link) get(ctx context.Context, path string) (node, error) {
	n, _, err := ask(ctx, l, func(c *zk.Conn) (node, error) {
		data, stat, err := c.Get(path)
		if errors.Is(err, zk.ErrNoNode) {
			return node{}, nil
		}
		return node{data, stat, err == nil}, err
	})
	return n, err
}

// key returns the entry of a key, or nothing.
func (l *link) key(ctx context.Context, path string, generation uint64) ([]driver.Entry, error) {
	n, err := l.get(ctx, path)
	if err != nil || !n.there {
		return []driver.Entry{}, err
	}
	if e, ok := toEntry(path, n.data, n.stat, generation); ok {
		return []driver.Entry{e}, nil
	}
	return []driver.Entry{}, nil
}

// children are the names in a directory, and the zxid of the last change to
// them.
type children struct {
	names []string
	pzxid int64
	there bool
}

func (l *link) children(ctx context.Context, dir string) (children, error) {
	found, _, err := ask(ctx, l, func(c *zk.Conn) (children, error) {
		names, stat, err := c.Children(dir)
		if errors.Is(err, zk.ErrNoNode) {
			return children{}, nil
		}
		if err != nil {
			return children{}, err
		}
		return children{names, stat.Pzxid, true}, nil
	})
	return found, err
}

// list reads the names in a directory, and then the values. The names are of
// one instant, and each node read later is the one that had its name then: it
// was not created since. If one was, or is gone, the names are read again.
func (l *link) list(ctx context.Context, dir string, generation uint64) ([]driver.Entry, error) {
	for {
		found, err := l.children(ctx, dir)
		if err != nil || !found.there {
			return []driver.Entry{}, err
		}
		nodes, err := l.each(ctx, dir, found.names)
		if err != nil {
			return nil, err
		}
		entries := make([]driver.Entry, 0, len(nodes))
		stands := true
		for i, n := range nodes {
			stands = stands && n.there && n.stat.Czxid <= found.pzxid
			if e, ok := toEntry(dir+"/"+found.names[i], n.data, n.stat, generation); ok {
				entries = append(entries, e)
			}
		}
		if stands {
			driver.SortEntries(entries)
			return entries, nil
		}
	}
}

// each asks for the children of a directory.
func (l *link) each(ctx context.Context, dir string, names []string) ([]node, error) {
	nodes := make([]node, len(names))
	err := eachOf(names, func(i int, name string) (err error) {
		nodes[i], err = l.get(ctx, dir+"/"+name)
		return err
	})
	return nodes, err
}

// eachOf does the same with all names, some at a time, until it fails.
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
