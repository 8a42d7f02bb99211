package zookeeper

import (
	"sync"
	"time"
)

const (
	// oldFor is the time before a server that refused an operation of 3.6 is
	// asked again. It may have been upgraded.
	oldFor = time.Hour
	// brokenFor is the same for a server that closed the connection without an
	// answer. It may have had another reason.
	brokenFor = time.Minute
)

// servers is what a driver knows about the servers of its ensemble.
type servers struct {
	addresses []string

	mu     sync.Mutex
	modern map[string]bool      // knows the operations of 3.6
	until  map[string]time.Time // does not know them, as far as is known until then
	taken  map[string]int       // connections of this driver, those being made included
}

func newServers(addresses []string) *servers {
	return &servers{
		addresses: addresses, modern: make(map[string]bool), until: make(map[string]time.Time), taken: make(map[string]int),
	}
}

// is reports whether a server knows the operations of 3.6, and whether that is
// known.
func (s *servers) is(server string) (modern, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.modern[server] {
		return true, true
	}
	return false, time.Now().Before(s.until[server])
}

func (s *servers) new(server string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.modern[server] = true
}

// old records that a server is from before 3.6.
func (s *servers) old(server string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.modern, server)
	s.until[server] = time.Now().Add(d)
}

// take returns the next server to try, from the index next on, and counts a
// connection to it. It leaves out the servers that were tried. It prefers a
// server without another connection of this driver, so that a server that fails
// or falls silent costs one connection and not both.
func (s *servers) take(next int, tried map[string]bool) (server string, after int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	best := -1
	for k := range s.addresses {
		at := (next + k) % len(s.addresses)
		if tried[s.addresses[at]] {
			continue
		}
		if s.taken[s.addresses[at]] == 0 {
			best = at
			break
		}
		if best < 0 {
			best = at
		}
	}
	if best < 0 { // addresses may be given twice
		best = next % len(s.addresses)
	}
	server = s.addresses[best]
	s.taken[server]++
	return server, best + 1
}

// free takes back the count of take when the connection is lost or was not made.
func (s *servers) free(server string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[server]--; s.taken[server] <= 0 {
		delete(s.taken, server)
	}
}
