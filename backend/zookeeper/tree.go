package zookeeper

import (
	"context"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// maxMisses is how many reads in a row may fail to agree with the events that
// came with them before everything is read again.
const maxMisses = 3

// treeWatch follows a directory by one recursive watch.
//
// It lists the names once, reads the values, and then applies events one by one,
// in the order of the stream. It reads the children that were created or changed
// together with the directory itself. The directory's stat counts the creations
// and deletions of its children. If the events are as many, the names are those
// of the instant of that read, and no commit is shown in part. Otherwise, or if
// an event contradicts the known names, the watch reads everything again.
type treeWatch struct {
	dir     string
	deliver func([]driver.Entry)

	c   *conn
	sub *subscriber

	names  map[string]*child
	there  bool  // whether the directory exists
	count  int32 // creations and deletions of children, as the directory's stat counts them
	pzxid  int64 // the zxid of the last of them
	agreed bool  // the names are those of the instant of the last stat
	doubt  bool  // everything must be read again
	misses int   // reads in a row that did not agree with the events
	listed int   // lists in a row without a complete state after them
}

// child is a node in a directory as it was read last.
type child struct {
	entry driver.Entry
	key   bool
	czxid int64
	stale bool // it was not read, or it has changed since
}

// attach starts again on a new connection. The children that are known are read
// together with the list.
func (w *treeWatch) attach(c *conn) *subscriber {
	w.c, w.sub = c, c.trees.subscribe(w.dir)
	w.doubt, w.listed = true, 0
	return w.sub
}

func (w *treeWatch) detach() { w.c.trees.unsubscribe(w.sub) }

// refresh makes the next look read everything again.
func (w *treeWatch) refresh() { w.doubt = true }

// look delivers the state after the events so far. It sends first in front of its
// own requests.
func (w *treeWatch) look(ctx context.Context, generation uint64, first ...request) error {
	w.apply(w.c.trees.take(w.sub))
	for {
		var err error
		switch {
		case w.doubt || w.misses > maxMisses:
			if w.listed > 0 {
				err = breathe(ctx, w.listed)
			}
			if err == nil {
				err = w.list(ctx, generation, first...)
			}
			first = nil
		case w.complete():
			w.misses, w.listed = 0, 0
			w.deliver(w.entries())
			return nil
		default:
			if w.misses > 0 {
				err = breathe(ctx, w.misses)
			}
			if err == nil {
				err = w.read(ctx, generation)
			}
		}
		if err != nil {
			return err
		}
	}
}

// list sets the watch, lists the names, and reads the children that are known
// already, in one exchange.
func (w *treeWatch) list(ctx context.Context, generation uint64, first ...request) error {
	w.listed++
	requests := append(first, addWatchRequest(w.dir), w.c.trees.marked(w.sub, pathRequest(opGetChildren2, w.dir, false)))
	head := len(requests)
	known := make([]string, 0, len(w.names))
	for name := range w.names {
		known = append(known, name)
	}
	batches, more := w.batches(known)
	replies, err := w.c.exchangeAll(ctx, append(requests, more...))
	if err != nil {
		return err
	}
	if len(first) > 0 {
		if err := agreed(&replies[0]); err != nil {
			return err
		}
	}
	if err := replies[head-2].failure(); err != nil {
		return err
	}
	found, err := replies[head-1].children()
	if err != nil {
		return err
	}
	// This answer includes the events before it.
	before := w.names
	w.names = make(map[string]*child, len(found.names))
	for _, name := range found.names {
		if old := before[name]; old != nil {
			w.names[name] = old
			old.stale = true
		} else {
			w.names[name] = &child{stale: true}
		}
	}
	w.there, w.agreed, w.doubt, w.misses, w.count, w.pzxid = found.there, true, false, 0, 0, 0
	if found.there {
		w.count, w.pzxid = found.stat.Cversion, found.stat.Pzxid
		w.doubt = int(found.stat.NumChildren) != len(found.names)
	}
	return w.takeAll(replies[head:], batches, generation)
}

// read reads the stale children and the directory's stat.
func (w *treeWatch) read(ctx context.Context, generation uint64) error {
	var stale []string
	for name, ch := range w.names {
		if ch.stale {
			stale = append(stale, name)
		}
	}
	batches, requests := w.batches(stale)
	if len(requests) == 0 {
		batches = [][]string{{w.dir}}
		requests = []request{w.c.trees.marked(w.sub, dataRequest(batches[0]))}
	}
	replies, err := w.c.exchangeAll(ctx, requests)
	if err != nil {
		return err
	}
	return w.takeAll(replies, batches, generation)
}

// batches are the requests for children and, behind them, for the directory
// itself. Without names there are none.
func (w *treeWatch) batches(names []string) (batches [][]string, requests []request) {
	if len(names) == 0 {
		return nil, nil
	}
	paths := make([]string, 0, len(names)+1)
	for _, name := range names {
		paths = append(paths, w.dir+"/"+name)
	}
	for _, batch := range w.c.d.reads.split(append(paths, w.dir)) {
		batches = append(batches, batch)
		requests = append(requests, w.c.trees.marked(w.sub, dataRequest(batch)))
	}
	return batches, requests
}

func (w *treeWatch) takeAll(replies []reply, batches [][]string, generation uint64) error {
	for i, batch := range batches {
		nodes, err := replies[i].nodes(len(batch))
		if err != nil {
			return err
		}
		w.take(&replies[i], batch, nodes, generation)
	}
	return nil
}

// take applies one answer and the events before it. If the answer completes the
// state that was known when the request was sent, take delivers that state before
// it applies the events. So a directory that changes all the time is still shown.
func (w *treeWatch) take(r *reply, paths []string, nodes []node, generation uint64) {
	var self *node
	gone := make(map[string]*child) // children that were among the names
	for i, path := range paths {
		if path == w.dir {
			self = &nodes[i]
			continue
		}
		name := path[len(w.dir)+1:]
		switch ch := w.names[name]; {
		case ch == nil:
		case !nodes[i].there:
			gone[name] = ch
		default:
			ch.entry, ch.key = toEntry(path, nodes[i].data, nodes[i].stat, generation)
			ch.czxid, ch.stale = nodes[i].stat.Czxid, false
		}
	}
	if len(r.events) > 0 && w.complete() {
		w.deliver(w.entries())
	}
	w.apply(r.events, r.overflow)
	agrees := self == nil || w.compare(*self)
	for name, ch := range gone {
		agrees = agrees && w.names[name] != ch // unless an event has removed it
	}
	if agrees {
		w.misses = 0
	} else {
		w.misses++
	}
}

// apply applies events to the names.
func (w *treeWatch) apply(events []treeEvent, overflow bool) {
	w.doubt = w.doubt || overflow
	for _, e := range events {
		ch, known := w.names[e.name]
		switch {
		case e.name == "" && e.kind == zk.EventNodeDataChanged:
			// The directory itself is no key.
		case e.name == "", known == (e.kind == zk.EventNodeCreated), !w.there:
			w.doubt = true
		case e.kind == zk.EventNodeDataChanged:
			ch.stale = true
		case e.kind == zk.EventNodeCreated:
			w.names[e.name] = &child{stale: true}
			w.count++
			w.agreed = false
		default:
			delete(w.names, e.name)
			w.count++
			w.agreed = false
		}
	}
}

// compare reports whether the names are those of the instant at which the
// directory's stat was read.
func (w *treeWatch) compare(self node) bool {
	switch {
	case self.there != w.there:
		w.doubt = true
		return false
	case !self.there:
		w.agreed = true
		return true
	}
	w.agreed = self.stat.Cversion == w.count && int(self.stat.NumChildren) == len(w.names)
	w.pzxid = self.stat.Pzxid
	for _, ch := range w.names {
		if !ch.stale && ch.czxid > w.pzxid {
			return false
		}
	}
	return w.agreed
}

// complete reports whether the known children are a state: the names are of one
// instant, each has a value, and each node is the one that had the name then. A
// node that is newer than the directory's last change is a different one.
func (w *treeWatch) complete() bool {
	if !w.agreed || w.doubt {
		return false
	}
	for _, ch := range w.names {
		if ch.stale || ch.czxid > w.pzxid {
			return false
		}
	}
	return true
}

func (w *treeWatch) entries() []driver.Entry {
	entries := make([]driver.Entry, 0, len(w.names))
	for _, ch := range w.names {
		if ch.key {
			entries = append(entries, ch.entry)
		}
	}
	driver.SortEntries(entries)
	return entries
}

// leafWatch follows a key by one watch.
type leafWatch struct {
	path    string
	deliver func([]driver.Entry)

	c   *conn
	sub *subscriber

	entries []driver.Entry
	stale   bool // the key must be read
	unset   bool // the watch must be set
}

func (w *leafWatch) attach(c *conn) *subscriber {
	w.c, w.sub = c, c.trees.subscribe(w.path)
	w.refresh()
	return w.sub
}

func (w *leafWatch) detach() { w.c.trees.unsubscribe(w.sub) }

func (w *leafWatch) refresh() { w.stale, w.unset = true, true }

// apply applies events. After a deletion there is nothing to read.
func (w *leafWatch) apply(events []treeEvent, overflow bool) {
	w.stale = w.stale || overflow
	for _, e := range events {
		switch {
		case e.name != "":
		case e.kind == zk.EventNodeDeleted:
			w.stale, w.entries = w.unset, []driver.Entry{}
		default:
			w.stale = true
		}
	}
}

func (w *leafWatch) look(ctx context.Context, generation uint64, first ...request) error {
	w.apply(w.c.trees.take(w.sub))
	for w.stale {
		requests := first
		if w.unset {
			requests = append(requests, addWatchRequest(w.path))
		}
		requests = append(requests, w.c.trees.marked(w.sub, pathRequest(opGetData, w.path, false)))
		replies, err := w.c.exchange(ctx, requests...)
		if err != nil {
			return err
		}
		if len(first) > 0 {
			if err := agreed(&replies[0]); err != nil {
				return err
			}
		}
		last := len(replies) - 1
		if w.unset {
			if err := replies[last-1].failure(); err != nil {
				return err
			}
		}
		n, err := replies[last].node()
		if err != nil {
			return err
		}
		first, w.unset, w.stale = nil, false, false
		w.entries = []driver.Entry{}
		if n.there {
			if e, ok := toEntry(w.path, n.data, n.stat, generation); ok {
				w.entries = append(w.entries, e)
			}
		}
		w.apply(replies[last].events, replies[last].overflow)
	}
	w.deliver(w.entries)
	return nil
}

// breathe pauses so that several changes are read together. The pause grows with
// times.
func breathe(ctx context.Context, times int) error {
	return driver.Sleep(ctx, min(time.Millisecond<<min(times-1, 10), time.Second))
}
