package zookeeper

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// forest is what a fake of a modern server answers reads from, with the stats
// that a server has. Every commit is told to the connections that watch.
type forest struct {
	f *fake

	mu    sync.Mutex
	zxid  int64
	nodes map[string]*zk.Stat
	data  map[string]string

	silent bool     // it tells nothing
	slow   bool     // it takes its time between the events of a commit
	late   bool     // it tells only when told to, in order
	untold []func() // what it has not told
}

// forest makes a fake answer from a forest with one directory.
func (f *fake) forest(dir string) *forest {
	fo := &forest{f: f, nodes: make(map[string]*zk.Stat), data: make(map[string]string)}
	f.set(func() { f.answer = fo.answer })
	fo.commit(func(c *change) { c.set(dir, "") })
	return fo
}

// change is a commit under way.
type change struct {
	fo     *forest
	events []func()
}

// commit makes a change, and tells it, while no request is served.
func (fo *forest) commit(make func(*change)) {
	fo.f.order.Lock()
	defer fo.f.order.Unlock()
	fo.within(make)
}

// within is commit for one who serves a request.
func (fo *forest) within(make func(*change)) {
	fo.mu.Lock()
	defer fo.mu.Unlock()
	fo.zxid++
	c := &change{fo: fo}
	make(c)
	switch {
	case fo.silent:
	case fo.late:
		fo.untold = append(fo.untold, c.events...)
	default:
		for i, tell := range c.events {
			if i > 0 && fo.slow {
				time.Sleep(2 * time.Millisecond) // the client may act on the first
			}
			tell()
		}
	}
}

// tell tells some of what was not told.
func (fo *forest) tell(n int) {
	fo.f.order.Lock()
	defer fo.f.order.Unlock()
	fo.mu.Lock()
	defer fo.mu.Unlock()
	n = min(n, len(fo.untold))
	for _, tell := range fo.untold[:n] {
		tell()
	}
	fo.untold = fo.untold[n:]
}

// set creates a node or changes it.
func (c *change) set(path, value string) {
	fo := c.fo
	kind := zk.EventNodeDataChanged
	if fo.nodes[path] == nil {
		kind = zk.EventNodeCreated
		fo.nodes[path] = &zk.Stat{Czxid: fo.zxid, Version: -1, Pzxid: fo.zxid}
		c.count(path, 1)
	}
	stat := fo.nodes[path]
	stat.Mzxid, stat.Version, stat.DataLength = fo.zxid, stat.Version+1, int32(len(value))
	fo.data[path] = value
	c.event(kind, path)
}

func (c *change) remove(path string) {
	delete(c.fo.nodes, path)
	delete(c.fo.data, path)
	c.count(path, -1)
	c.event(zk.EventNodeDeleted, path)
}

func (c *change) count(path string, children int32) {
	if parent := c.fo.nodes[path[:strings.LastIndexByte(path, '/')]]; parent != nil {
		parent.Cversion++
		parent.NumChildren += children
		parent.Pzxid = c.fo.zxid
	}
}

func (c *change) event(kind zk.EventType, path string) {
	c.events = append(c.events, func() {
		c.fo.f.set(func() {
			for conn, watched := range c.fo.f.conns {
				for at := path; at != ""; at = at[:strings.LastIndexByte(at, '/')] {
					if watched[at] {
						writeFrame(conn, eventFrame(kind, path))
						break
					}
				}
			}
		})
	})
}

func (fo *forest) answer(op int32, body []byte) (int32, []byte, reaction) {
	fo.mu.Lock()
	defer fo.mu.Unlock()
	if op != opGetData && op != opGetChildren2 && op != opExists || path(body) == "/" {
		return 0, nil, usual
	}
	name := path(body)
	s := fo.nodes[name]
	switch {
	case s == nil:
		return codeNoNode, nil, told
	case op == opExists:
		return 0, fullStat(s), told
	case op == opGetData:
		return 0, append(appendString(nil, fo.data[name]), fullStat(s)...), told
	}
	names := fo.names(name)
	b := binary.BigEndian.AppendUint32(nil, uint32(len(names)))
	for _, child := range names {
		b = appendString(b, child)
	}
	return 0, append(b, fullStat(s)...), told
}

func (fo *forest) names(dir string) []string {
	var names []string
	for other := range fo.nodes {
		if child, ok := strings.CutPrefix(other, dir+"/"); ok && !strings.Contains(child, "/") {
			names = append(names, child)
		}
	}
	return names
}

// state is what a watch of dir should show.
func (fo *forest) state(dir string) string {
	fo.mu.Lock()
	defer fo.mu.Unlock()
	var all []string
	for _, name := range fo.names(dir) {
		all = append(all, name+fo.data[dir+"/"+name])
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

func fullStat(s *zk.Stat) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(s.Czxid))
	b = binary.BigEndian.AppendUint64(b, uint64(s.Mzxid))
	b = append(b, make([]byte, 16)...)
	b = appendInt(appendInt(appendInt(b, s.Version), s.Cversion), s.Aversion)
	b = binary.BigEndian.AppendUint64(b, uint64(s.EphemeralOwner))
	b = appendInt(appendInt(b, s.DataLength), s.NumChildren)
	return binary.BigEndian.AppendUint64(b, uint64(s.Pzxid))
}

func eventFrame(kind zk.EventType, path string) []byte {
	b := appendInt(appendInt(header(-1, 0), int32(kind)), 3)
	return appendString(b, path)
}

// requests counts what a fake was asked for since a moment, without pings and
// signs of life.
func (f *fake) requests() func() map[int32]int {
	take := func() map[int32]int {
		f.mu.Lock()
		defer f.mu.Unlock()
		counts := maps.Clone(f.counts)
		delete(counts, opPing)
		delete(counts, opExists)
		return counts
	}
	before := take()
	return func() map[int32]int {
		since := take()
		for op, n := range before {
			if since[op] -= n; since[op] == 0 {
				delete(since, op)
			}
		}
		return since
	}
}

// wantRequests checks what was asked for, the whole of it.
func wantRequests(t testing.TB, what string, got, want map[int32]int) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: requests by operation are %v, want %v", what, got, want)
	}
}

// counted counts the bytes of a connection.
type counted struct {
	net.Conn
	bytes *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}
