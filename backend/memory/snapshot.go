package memory

import "maps"

// Snapshot is a backup of a Server: its keys, leases and revision at one
// instant. It is immutable and can be restored any number of times, to the
// server it is of.
type Snapshot struct {
	revision uint64
	keys     map[string]*node
	leases   map[string]*lease
	dirs     []string
}

// Snapshot takes a backup.
func (s *Server) Snapshot() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &Snapshot{revision: s.revision, keys: maps.Clone(s.keys), leases: map[string]*lease{}}
	for id, g := range s.leases {
		b.leases[id] = g.lease
	}
	for dir := range s.children {
		b.dirs = append(b.dirs, dir)
	}
	return b
}

// Restore puts the store back to the backup, revisions included, and begins a
// new generation for every driver. Leases that were alive then are alive again,
// even if they have ended since. Each has its full TTL from now, as on the real
// stores. If a lease's client knows that it is gone, nobody renews it, and it
// expires one TTL later. Leases granted since are gone.
func (s *Server) Restore(b *Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replace(b)
}

// Wipe empties the store, as if its disks had been lost: keys and leases are
// gone, revisions begin anew, and so does the generation of every driver.
func (s *Server) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replace(&Snapshot{})
}

func (s *Server) replace(b *Snapshot) {
	ended := s.leases
	for _, g := range ended {
		g.timer.Stop()
	}
	s.leases = map[string]*grant{}
	s.keys = map[string]*node{}
	s.children = map[string]map[string]*node{}
	s.listed = map[string][]*node{}
	s.reset()
	s.revision = b.revision
	for _, l := range b.leases {
		s.begin(l)
		delete(ended, l.id)
	}
	for _, dir := range b.dirs {
		s.children[dir] = map[string]*node{}
	}
	for _, n := range b.keys {
		s.put(n)
	}
	for _, g := range ended {
		g.lease.notice()
	}
	// Every watch reads again: what it saw may have gone, and its versions
	// are of an older generation in any case.
	for _, watches := range s.watches {
		for w := range watches {
			w.wake()
		}
	}
}
