package zookeeper

import (
	"context"
	"slices"

	"github.com/quorate/quorate/backend/driver"
)

// Read sends the barrier and the first requests for all targets together. A
// server answers requests behind the barrier with at least the state on which a
// quorum had agreed when the barrier was sent. It never goes back. The values
// in the directories follow in a second exchange.
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
	c, err := d.common.up(ctx)
	if err != nil {
		return nil, err
	}
	generation, err := d.generations.of(ctx, c)
	if err != nil {
		return nil, classify(err, false)
	}
	r := reading{c: c, generation: generation, targets: targets, states: make([][]driver.Entry, len(targets))}
	first := []request{c.quorum()}
	for r.done < len(targets) {
		if err := r.exchange(ctx, first); err != nil {
			return nil, classify(err, false)
		}
		first = nil
	}
	return r.states, nil
}

// reading is a Read under way. The states of the first done targets are known.
type reading struct {
	c          *conn
	generation uint64
	targets    []driver.Target
	states     [][]driver.Entry
	done       int
}

// exchange asks for the names in the directories and the values of the keys, and
// then for the values in the directories. If the state of a target does not
// hold, exchange leaves that target and those behind it for the next call.
func (r *reading) exchange(ctx context.Context, first []request) error {
	targets := r.targets[r.done:]
	if !slices.ContainsFunc(targets, func(t driver.Target) bool { return t.Dir }) {
		return r.keys(ctx, first)
	}
	requests := first
	for _, t := range targets {
		op := int32(opGetData)
		if t.Dir {
			op = opGetChildren2
		}
		requests = append(requests, pathRequest(op, nodePath(t.Path), false))
	}
	replies, err := r.c.exchangeAll(ctx, requests)
	if err != nil {
		return err
	}
	if len(first) > 0 {
		if err := agreed(&replies[0]); err != nil {
			return err
		}
	}
	parts, err := r.parts(replies[len(first):])
	if err != nil {
		return err
	}
	return r.values(ctx, parts)
}

// keys reads keys alone, in one exchange.
func (r *reading) keys(ctx context.Context, first []request) error {
	paths := make([]string, 0, len(r.targets)-r.done)
	for _, t := range r.targets[r.done:] {
		paths = append(paths, nodePath(t.Path))
	}
	q := r.c.query(paths)
	replies, err := r.c.exchangeAll(ctx, append(first, q.requests...))
	if err != nil {
		return err
	}
	if len(first) > 0 {
		if err := agreed(&replies[0]); err != nil {
			return err
		}
	}
	nodes, err := q.nodes(replies[len(first):])
	for i := range nodes {
		r.add(paths[i:i+1], nodes[i:i+1])
	}
	return err
}

// add adds the state of the next target.
func (r *reading) add(paths []string, nodes []node) {
	entries := make([]driver.Entry, 0, len(nodes))
	for i, n := range nodes {
		if !n.there {
			continue
		}
		if e, ok := toEntry(paths[i], n.data, n.stat, r.generation); ok {
			entries = append(entries, e)
		}
	}
	driver.SortEntries(entries)
	r.states[r.done] = entries
	r.done++
}

// part is the result of the first exchange for one target.
type part struct {
	key      []node   // of a key that need not be read again
	names    children // of a directory
	compared bool     // whether the directory is to be compared
	paths    []string // to be read in the second exchange
}

// parts takes the first answers. Targets behind a directory that has names must
// be newer than its values. So a key there is read again, and a directory there
// is compared with its state when it was listed.
func (r *reading) parts(replies []reply) ([]part, error) {
	parts := make([]part, len(replies))
	behind := false
	for i := range replies {
		p, path := &parts[i], nodePath(r.targets[r.done+i].Path)
		if !r.targets[r.done+i].Dir {
			n, err := replies[i].node()
			if err != nil {
				return nil, err
			}
			if p.paths = []string{path}; !behind {
				p.key = []node{n}
			}
			continue
		}
		found, err := replies[i].children()
		if err != nil {
			return nil, err
		}
		p.names, p.compared = found, behind
		for _, name := range found.names {
			p.paths = append(p.paths, path+"/"+name)
		}
		if behind {
			p.paths = append(p.paths, path)
		}
		behind = behind || len(found.names) > 0
	}
	return parts, nil
}

// values reads the nodes that parts still need.
func (r *reading) values(ctx context.Context, parts []part) error {
	var paths []string
	for _, p := range parts {
		if p.key == nil {
			paths = append(paths, p.paths...)
		}
	}
	var nodes []node
	if len(paths) > 0 {
		q := r.c.query(paths)
		replies, err := r.c.exchangeAll(ctx, q.requests)
		if err != nil {
			return err
		}
		if nodes, err = q.nodes(replies); err != nil {
			return err
		}
	}
	for _, p := range parts {
		if p.key != nil {
			r.add(p.paths, p.key)
			continue
		}
		own := nodes[:len(p.paths)]
		nodes = nodes[len(p.paths):]
		if r.targets[r.done].Dir {
			if p.compared && !unchanged(p.names, own[len(own)-1]) {
				return nil
			}
			if own = own[:len(p.names.names)]; !holds(p.names, own) {
				return nil
			}
		}
		r.add(p.paths, own)
	}
	return nil
}

// holds reports whether the nodes are those that had the names when the
// directory was listed: each exists, and was not created since. So no child is
// newer than the directory's last change.
func holds(found children, nodes []node) bool {
	for _, n := range nodes {
		if !n.there || n.stat.Czxid > found.stat.Pzxid {
			return false
		}
	}
	return true
}

// unchanged reports whether a directory has the same names as when it was listed.
func unchanged(found children, now node) bool {
	if !found.there || !now.there {
		return found.there == now.there
	}
	return found.stat.Pzxid == now.stat.Pzxid && found.stat.Cversion == now.stat.Cversion && found.stat.Czxid == now.stat.Czxid
}
