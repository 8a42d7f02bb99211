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
// It lists the names once, reads the values, and from then on applies events,
// one by one, in the order of the stream. The value of a child that was created
// or changed is read, together with the directory itself, whose stat counts the
// changes of its children: if the count is that of the events, the names are
// those of the instant of that read, with nothing of a commit left out. If it is
// not, or an event does not fit what is known, everything is read again.
type treeWatch struct {
	dir     string
	deliver func([]driver.Entry)

	c   *conn
	sub *subscriber

	names  map[string]*child
	there  bool  // the directory is
	count  int32 // of changes of the children, as the directory's stat has it
	pzxid  int64 // of the last of them
	agreed bool  // the names are those of the instant of the last count
	doubt  bool  // everything has to be read again
	misses int   // reads in a row that did not agree
	listed int   // lists in a row that did not lead to a state
}

// child is a node in a directory as it was read.
type child struct {
	entry driver.Entry
	key   bool
	czxid int64
	stale bool // it was not read, or changed since
}

// attach begins anew on a connection. The names that are known are read
// together with the list.
func (w *treeWatch) attach(c *conn) *subscriber {
	w.c, w.sub = c, c.trees.subscribe(w.dir)
	w.doubt, w.listed = true, 0
	return w.sub
}

func (w *treeWatch) detach() { w.c.trees.unsubscribe(w.sub) }

// refresh has everything read again.
func (w *treeWatch) refresh() { w.doubt = true }

// look delivers the state after the events that have come. first is sent in
// front of what is read.
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

// list sets the watch, lists the names, and reads the values of those that are
// known already, all at once.
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
	// What came before this answer is in it.
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

// read reads what is stale, and the directory's stat.
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

// batches are the requests for children, if there are any, the directory
// itself last.
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

// take goes on by one answer. Where it brings the last values of the state that
// was known when it was asked for, that one is delivered before the events that
// came meanwhile are applied: so a directory that changes all the time is shown
// all the same.
func (w *treeWatch) take(r *reply, paths []string, nodes []node, generation uint64) {
	var self *node
	gone := make(map[string]*child) // though it was among the names
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
		agrees = agrees && w.names[name] != ch // or an event has said so
	}
	if agrees {
		w.misses = 0
	} else {
		w.misses++
	}
}

// apply takes account of events.
func (w *treeWatch) apply(events []treeEvent, overflow bool) {
	w.doubt = w.doubt || overflow
	for _, e := range events {
		ch, known := w.names[e.name]
		switch {
		case e.name == "" && e.kind == zk.EventNodeDataChanged:
			// Of the directory itself, which is no key.
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

// compare finds out whether the names are those of the instant at which the
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

// complete reports whether what is known is a state: the names are of one
// instant, each has a value, and each node is the one that had the name then.
// One that is newer than the directory's last change is another.
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
	stale   bool // it has to be read
	unset   bool // and the watch to be set
}

func (w *leafWatch) attach(c *conn) *subscriber {
	w.c, w.sub = c, c.trees.subscribe(w.path)
	w.refresh()
	return w.sub
}

func (w *leafWatch) detach() { w.c.trees.unsubscribe(w.sub) }

func (w *leafWatch) refresh() { w.stale, w.unset = true, true }

// apply takes account of events. Of a node that is gone there is nothing to
// read.
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

// breathe lets some changes come together before they are read, more of them
// each time.
func breathe(ctx context.Context, times int) error {
	timer := time.NewTimer(min(time.Millisecond<<min(times-1, 10), time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
