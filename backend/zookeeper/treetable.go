package zookeeper

import (
	"strings"
	"sync"

	"github.com/go-zookeeper/zk"
)

const (
	// maxEvents bounds the events that wait for one subscriber. A subscriber
	// that is further behind reads everything again.
	maxEvents = 4096
	// maxIdle bounds the watches that are set at the server and that nobody
	// needs any more. If there are more, the connection is replaced.
	maxIdle = 1 << 10
)

// treeEvent is a change of a node that is watched, or of one directly below.
type treeEvent struct {
	kind zk.EventType
	name string // of the child, or empty
}

// subscriber is told of events at a path and directly below it.
type subscriber struct {
	path string
	news chan struct{}

	events   []treeEvent // guarded by the table's mutex, as is overflow
	overflow bool
}

// treeTable holds the subscribers on a connection to a modern server, by path.
//
// All watches on such a connection are recursive and persistent. Servers before
// 3.9 keep one mode for all watches of a client on a path, so a watch of another
// kind would end a recursive one.
type treeTable struct {
	c *conn

	mu          sync.Mutex
	subscribers map[string]map[*subscriber]struct{} // by path
	idle        int                                 // watches that could not be removed
}

func (t *treeTable) init(c *conn) {
	t.c = c
	t.subscribers = make(map[string]map[*subscriber]struct{})
}

// event passes an event on. It ignores NodeChildrenChanged, which a server sends
// for watches of another kind: the child's own event says more.
func (t *treeTable) event(e zk.Event) {
	switch e.Type {
	case zk.EventNodeCreated, zk.EventNodeDeleted, zk.EventNodeDataChanged:
	default:
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.subscribers[e.Path] {
		s.tell(treeEvent{kind: e.Type})
	}
	if at := strings.LastIndexByte(e.Path, '/'); at > 0 {
		for s := range t.subscribers[e.Path[:at]] {
			s.tell(treeEvent{kind: e.Type, name: e.Path[at+1:]})
		}
	}
}

// tell adds an event. The table is locked.
func (s *subscriber) tell(e treeEvent) {
	switch {
	case s.overflow:
	case len(s.events) == maxEvents:
		s.events, s.overflow = nil, true
	default:
		s.events = append(s.events, e)
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// subscribe returns a subscriber of path. The caller then sends an
// addWatchRequest.
func (t *treeTable) subscribe(path string) *subscriber {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &subscriber{path: path, news: make(chan struct{}, 1)}
	if t.subscribers[path] == nil {
		t.subscribers[path] = make(map[*subscriber]struct{})
	}
	t.subscribers[path][s] = struct{}{}
	return s
}

// unsubscribe ends a subscription. If it was the last one of its path, the watch
// is removed at the server. The request is sent under the lock, so it cannot
// overtake the watch of the next subscriber.
func (t *treeTable) unsubscribe(s *subscriber) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscribers[s.path], s)
	if len(t.subscribers[s.path]) > 0 {
		return
	}
	delete(t.subscribers, s.path)
	if !t.c.net.alive() || t.c.post(removeWatchesRequest(s.path)) {
		return
	}
	if t.idle++; t.idle > maxIdle {
		t.c.net.kill(errIdleWatches)
	}
}

// take returns the events since the last call.
func (t *treeTable) take(s *subscriber) (events []treeEvent, overflow bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	events, overflow = s.events, s.overflow
	s.events, s.overflow = nil, false
	return events, overflow
}

// marked returns a request whose answer contains the events that s was told
// before it. So the order of the stream is kept.
func (t *treeTable) marked(s *subscriber, r request) request {
	r.answered = func(answer *reply) { answer.events, answer.overflow = t.take(s) }
	return r
}
