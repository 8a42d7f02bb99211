package zookeeper

import (
	"context"
	"errors"
	"sync"

	"github.com/go-zookeeper/zk"
)

var errIdleWatches = errors.New("too many watches are set that nobody needs any more")

// watchPoint is the subject of a one-shot watch: whether a node exists and its
// data, or the names of its children.
type watchPoint struct {
	path     string
	children bool
}

// watchTable knows the watches on a connection to an old server, and their
// followers. Such a watch fires once. While it is set it serves every follower
// of its watch point, so watching again and again adds nothing at the server.
type watchTable struct {
	mu        sync.Mutex
	last      uint64                            // the number of the last watch
	set       map[watchPoint]uint64             // watches that are set and did not fire yet
	setting   map[watchPoint]*setting           // watches that are asked for
	followers map[string]map[*follower]struct{} // by path
}

// setting counts the requests under way that set a watch.
type setting struct {
	requests int
	fired    bool // an event came meanwhile
}

// follower is woken by events.
type follower struct{ news chan struct{} }

func (r *watchTable) init() {
	r.set = make(map[watchPoint]uint64)
	r.setting = make(map[watchPoint]*setting)
	r.followers = make(map[string]map[*follower]struct{})
}

// event is called by the zk client for each event, before it hands out any
// answer that came after it.
func (r *watchTable) event(e zk.Event) {
	if e.Path == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	data, names := watchPoint{path: e.Path}, watchPoint{path: e.Path, children: true}
	switch e.Type {
	case zk.EventNodeCreated, zk.EventNodeDataChanged:
		r.fire(data)
	case zk.EventNodeChildrenChanged:
		r.fire(names)
	default: // deleted, or not known
		r.fire(data)
		r.fire(names)
	}
	for f := range r.followers[e.Path] {
		f.tell()
	}
}

func (r *watchTable) fire(s watchPoint) {
	delete(r.set, s)
	if asked := r.setting[s]; asked != nil {
		asked.fired = true
	}
}

func (f *follower) tell() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// follow wakes f on events at path.
func (r *watchTable) follow(f *follower, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.followers[path] == nil {
		r.followers[path] = make(map[*follower]struct{})
	}
	r.followers[path][f] = struct{}{}
}

func (r *watchTable) unfollow(f *follower, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.followers[path], f)
	if len(r.followers[path]) == 0 {
		delete(r.followers, path)
	}
}

// number returns the number of the watch that is set at s, 0 if none is. A
// number is not used again: as long as it is the same, nothing has happened at s.
func (r *watchTable) number(s watchPoint) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set[s]
}

// begin is called before a watch at s is asked for.
func (r *watchTable) begin(s watchPoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.setting[s] == nil {
		r.setting[s] = new(setting)
	}
	r.setting[s].requests++
}

// done is called with the answer to a request for a watch at s; ok says that the
// watch is set. It returns the watch's number, or 0 if it may have fired already.
func (r *watchTable) done(s watchPoint, ok bool) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.setting[s]
	if asked.requests--; asked.requests == 0 {
		delete(r.setting, s)
	}
	if !ok || asked.fired {
		return 0
	}
	if r.set[s] == 0 {
		r.last++
		r.set[s] = r.last
	}
	return r.set[s]
}

// crowded reports whether too many watches are idle. A path that is followed may
// have two.
func (r *watchTable) crowded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.set) > maxIdle+2*len(r.followers)
}

// watched is what was read with a watch set, and the number of that; 0 if
// something may have happened since.
type watched[T any] struct {
	value  T
	number uint64
}

// askAndSet makes a request that sets a watch at s if set says so of its
// outcome. The table is updated when the request is sent and when it is
// answered, whether the caller still waits or not.
func askAndSet[T any](ctx context.Context, c *conn, s watchPoint, op int32, set func(error) bool, parse func(*reply) (T, error)) (watched[T], error) {
	r := pathRequest(op, s.path, true)
	var number uint64
	r.sent = func() { c.watches.begin(s) }
	r.answered = func(answer *reply) {
		_, err := parse(answer)
		if err == nil {
			err = answer.failure() // absent
		}
		number = c.watches.done(s, set(err))
	}
	replies, err := c.exchange(ctx, r)
	if c.watches.crowded() {
		c.net.kill(errIdleWatches)
	}
	if err != nil {
		return watched[T]{}, err
	}
	value, err := parse(&replies[0])
	return watched[T]{value, number}, err
}

// A request sets a watch if the node is there, or in any case.
func there(err error) bool  { return err == nil }
func anyway(err error) bool { return err == nil || errors.Is(err, zk.ErrNoNode) }

// get reads a node.
func (c *conn) get(ctx context.Context, path string) (node, error) {
	replies, err := c.exchange(ctx, pathRequest(opGetData, path, false))
	if err != nil {
		return node{}, err
	}
	return replies[0].node()
}

// children lists a directory.
func (c *conn) children(ctx context.Context, dir string) (children, error) {
	replies, err := c.exchange(ctx, pathRequest(opGetChildren2, dir, false))
	if err != nil {
		return children{}, err
	}
	return replies[0].children()
}

// nodeSet returns a node, with a watch set that fires when the node is changed,
// deleted or created.
func (c *conn) nodeSet(ctx context.Context, path string) (watched[node], error) {
	s := watchPoint{path: path}
	for {
		if number := c.watches.number(s); number != 0 {
			n, err := c.get(ctx, path)
			return watched[node]{n, number}, err
		}
		w, err := askAndSet(ctx, c, s, opGetData, there, (*reply).node)
		if err != nil || w.value.there {
			return w, err
		}
		e, err := c.existsSet(ctx, path)
		if err != nil || e.value == nil {
			return watched[node]{number: e.number}, err
		}
		// It was created since.
	}
}

// existsSet returns a node's stat, if it is there, with a watch set in either
// case.
func (c *conn) existsSet(ctx context.Context, path string) (watched[*zk.Stat], error) {
	return askAndSet(ctx, c, watchPoint{path: path}, opExists, anyway, (*reply).exists)
}

// namesSet returns the names in a directory, with a watch set that fires when
// they change. If there is no directory, the watch fires when it is created.
func (c *conn) namesSet(ctx context.Context, dir string) (names []string, at watchPoint, number uint64, _ error) {
	at = watchPoint{path: dir, children: true}
	for {
		if number := c.watches.number(at); number != 0 {
			found, err := c.children(ctx, dir)
			return found.names, at, number, err
		}
		if number := c.watches.number(watchPoint{path: dir}); number != 0 {
			found, err := c.children(ctx, dir)
			if err != nil || !found.there {
				return nil, watchPoint{path: dir}, number, err
			}
		}
		w, err := askAndSet(ctx, c, at, opGetChildren2, there, (*reply).children)
		if err != nil || w.value.there {
			return w.value.names, at, w.number, err
		}
		e, err := c.existsSet(ctx, dir)
		if err != nil || e.value == nil {
			return nil, watchPoint{path: dir}, e.number, err
		}
	}
}
