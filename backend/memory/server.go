package memory

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/quorate/quorate/backend/driver"
)

// Server is a store. Its methods may be called concurrently; all but
// [NewServer] take effect at one instant, as a commit does.
type Server struct {
	mu       sync.Mutex
	revision uint64
	keys     map[string]*node
	// children has an entry for each directory that ever had a key in it: as
	// on ZooKeeper, it can never become a key.
	children map[string]map[string]*node
	// listed holds the nodes of a directory in order, until one of them changes:
	// many watches of a large directory read it after each change.
	listed  map[string][]*node
	leases  map[string]*grant
	watches map[driver.Target]map[*watch]struct{}
	granted uint64               // leases so far; not undone by a restore, so that no id repeats
	drivers map[*Driver]struct{} // those that are not closed
	down    bool
	stats   Stats
}

// node is a key as it stands. It is replaced, never modified, so that a
// snapshot can share it.
type node struct {
	key               string
	value             []byte
	created, modified uint64
	number            uint64
	lease             string
}

// NewServer returns an empty store.
func NewServer() *Server {
	return &Server{
		keys:     map[string]*node{},
		children: map[string]map[string]*node{},
		listed:   map[string][]*node{},
		leases:   map[string]*grant{},
		watches:  map[driver.Target]map[*watch]struct{}{},
		drivers:  map[*Driver]struct{}{},
	}
}

// Entries returns all keys, sorted: what a checker wants to see whatever the
// state of the connections. The entries have no Version, which only a driver
// can give.
func (s *Server) Entries() []driver.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := make([]driver.Entry, 0, len(s.keys))
	for _, n := range s.keys {
		entries = append(entries, n.entry())
	}
	driver.SortEntries(entries)
	return entries
}

// Delete deletes a key as an operator would by hand, and reports whether there
// was one.
func (s *Server) Delete(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[key] == nil {
		return false
	}
	s.revision++
	s.remove(key)
	return true
}

// SetDown takes the store down, for all its clients, or brings it back. While
// it is down calls end with driver.ErrUnavailable, at once, and nothing is
// applied; watches under way fail. Leases do not age in that time, and each has
// its full TTL when the store is back. The real stores do the same: a quorum is
// needed to end a lease, and a new leader renews all of them.
func (s *Server) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == down {
		return
	}
	s.down = down
	if !down {
		for _, g := range s.leases {
			s.prolong(g)
		}
		return
	}
	s.reset()
	for _, g := range s.leases {
		g.timer.Stop()
	}
	for _, watches := range s.watches {
		for w := range watches {
			w.failed = errDown
			w.wake()
		}
	}
}

// read returns a target's entries, without a generation in their versions.
func (s *Server) read(target driver.Target) []driver.Entry {
	if !target.Dir {
		if n := s.keys[target.Path]; n != nil {
			return []driver.Entry{n.entry()}
		}
		return []driver.Entry{}
	}
	nodes, ok := s.listed[target.Path]
	if !ok {
		nodes = slices.SortedFunc(maps.Values(s.children[target.Path]), func(a, b *node) int { return cmp.Compare(a.key, b.key) })
		s.listed[target.Path] = nodes
	}
	entries := make([]driver.Entry, 0, len(nodes))
	for _, n := range nodes {
		entries = append(entries, n.entry())
	}
	return entries
}

// put lets n stand in place of whatever stands at its key.
func (s *Server) put(n *node) {
	s.keys[n.key] = n
	dir := parent(n.key)
	for d := dir; d != "" && s.children[d] == nil; d = parent(d) {
		s.children[d] = map[string]*node{}
	}
	if dir != "" {
		s.children[dir][n.key] = n
		delete(s.listed, dir)
	}
	if g := s.leases[n.lease]; g != nil {
		g.keys[n.key] = struct{}{}
	}
	s.notify(n.key)
}

// remove deletes a key that is there.
func (s *Server) remove(key string) {
	if g := s.leases[s.keys[key].lease]; g != nil {
		delete(g.keys, key)
	}
	delete(s.keys, key)
	delete(s.children[parent(key)], key)
	delete(s.listed, parent(key))
	s.notify(key)
}

func (n *node) entry() driver.Entry {
	return driver.Entry{
		Key: n.key, Value: bytes.Clone(n.value), Lease: n.lease,
		Created: n.created, Modified: n.modified,
		Version: driver.Version{Number: n.number},
	}
}

// reset begins a new generation for every driver.
func (s *Server) reset() {
	for d := range s.drivers {
		d.generation.Next()
	}
}

// parent returns the directory that a key or a directory lies in, empty at the
// top.
func parent(path string) string {
	return path[:max(0, strings.LastIndexByte(path, '/'))]
}
