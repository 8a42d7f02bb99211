package zookeeper

import (
	"context"
	"errors"
	"sync"

	"github.com/go-zookeeper/zk"
)

// maxIdle bounds the watches that are set at the server and that nobody waits
// for any more. The protocol has none of the ways to take one back in the
// client, so where there are more the connection is given up for a new one.
const maxIdle = 1 << 10

var errIdleWatches = errors.New("too many watches are set that nobody needs any more")

// spot is what one of ZooKeeper's watches is on: a node, whether it is there
// and its data, or the names of its children.
type spot struct {
	path     string
	children bool
}

// registry knows which watches are set on a link, and who follows what. A
// watch fires once; one that is set serves all who come to the same spot, so
// that watching again and again adds nothing at the server or in the client.
type registry struct {
	mu        sync.Mutex
	last      uint64                            // number of the last watch
	set       map[spot]uint64                   // those that are set, and did not fire yet
	setting   map[spot]*setting                 // those that are asked for
	followers map[string]map[*follower]struct{} // by path
}

// setting is a watch, or several, on their way to be set.
type setting struct {
	requests int
	fired    bool // an event came meanwhile, perhaps theirs
}

// follower is one who is told of events.
type follower struct{ news chan struct{} }

func (r *registry) init() {
	r.set = make(map[spot]uint64)
	r.setting = make(map[spot]*setting)
	r.followers = make(map[string]map[*follower]struct{})
}

// event is called by the zk client for each event, before it hands out any
// answer that came after it.
func (r *registry) event(e zk.Event) {
	if e.Path == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	data, names := spot{path: e.Path}, spot{path: e.Path, children: true}
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

func (r *registry) fire(s spot) {
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

// follow has f told of events at path.
func (r *registry) follow(f *follower, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.followers[path] == nil {
		r.followers[path] = make(map[*follower]struct{})
	}
	r.followers[path][f] = struct{}{}
}

func (r *registry) unfollow(f *follower, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.followers[path], f)
	if len(r.followers[path]) == 0 {
		delete(r.followers, path)
	}
}

// number returns the number of the watch that is set at s, 0 if none is.
// Numbers are not used again: as long as it is the same, nothing has happened
// at s.
func (r *registry) number(s spot) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set[s]
}

// begin is called before a watch at s is asked for.
func (r *registry) begin(s spot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.setting[s] == nil {
		r.setting[s] = new(setting)
	}
	r.setting[s].requests++
}

// done is called when a watch at s was answered; ok says that it is set. It
// returns its number, or 0 if it may have fired already.
func (r *registry) done(s spot, ok bool) uint64 {
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

// crowded reports whether too many watches are idle. Two may be set at each
// path that is followed.
func (r *registry) crowded() bool {
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
// outcome. The bookkeeping is done on the request's own goroutine, whether its
// caller still waits or not.
func askAndSet[T any](ctx context.Context, l *link, s spot, set func(error) bool, call func(*zk.Conn) (T, error)) (watched[T], error) {
	w, _, err := ask(ctx, l, func(c *zk.Conn) (watched[T], error) {
		l.watches.begin(s)
		value, err := call(c)
		return watched[T]{value, l.watches.done(s, set(err))}, err
	})
	if l.watches.crowded() {
		l.socket.kill(errIdleWatches)
	}
	return w, err
}

// nodeSet returns a node with a watch set that fires when it changes, goes, or
// comes to be.
func (l *link) nodeSet(ctx context.Context, path string) (watched[node], error) {
	s := spot{path: path}
	for {
		if number := l.watches.number(s); number != 0 {
			n, err := l.get(ctx, path)
			return watched[node]{n, number}, err
		}
		w, err := askAndSet(ctx, l, s, func(err error) bool { return err == nil }, func(c *zk.Conn) (node, error) {
			data, stat, _, err := c.GetW(path)
			return node{data, stat, err == nil}, err
		})
		if !errors.Is(err, zk.ErrNoNode) {
			return w, err
		}
		e, err := l.existsSet(ctx, path)
		if err != nil || !e.value {
			return watched[node]{number: e.number}, err
		}
		// It has come to be since.
	}
}

// existsSet tells whether a node is there, with a watch set in either case. It
// is asked only where none was set a moment ago.
func (l *link) existsSet(ctx context.Context, path string) (watched[bool], error) {
	return askAndSet(ctx, l, spot{path: path}, func(err error) bool { return err == nil }, func(c *zk.Conn) (bool, error) {
		there, _, _, err := c.ExistsW(path)
		return there, err
	})
}

// namesSet returns the names in a directory with a watch set that fires when
// they change or, where there is no directory, when there is.
func (l *link) namesSet(ctx context.Context, dir string) (names []string, at spot, number uint64, _ error) {
	at = spot{path: dir, children: true}
	for {
		if number := l.watches.number(at); number != 0 {
			found, err := l.children(ctx, dir)
			return found.names, at, number, err
		}
		if number := l.watches.number(spot{path: dir}); number != 0 {
			found, err := l.children(ctx, dir)
			if err != nil || !found.there {
				return nil, spot{path: dir}, number, err
			}
		}
		w, err := askAndSet(ctx, l, at, func(err error) bool { return err == nil }, func(c *zk.Conn) ([]string, error) {
			names, _, _, err := c.ChildrenW(dir)
			return names, err
		})
		if !errors.Is(err, zk.ErrNoNode) {
			return w.value, at, w.number, err
		}
		e, err := l.existsSet(ctx, dir)
		if err != nil || !e.value {
			return nil, spot{path: dir}, e.number, err
		}
	}
}
