package etcd

import (
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorate/quorate/backend/driver"
)

// history notices that the store went back: that it was restored from a
// backup, or wiped. No error says so. What says so is the header of a reply to
// a linearizable call: its revision and its raft term are never lower than
// those of any reply that had arrived before the call began. Replies of
// concurrent calls may overtake each other, so it is the state at the start of
// a call that counts, not that at its end.
type history struct {
	generation driver.Generation
	mu         sync.Mutex // orders generation and mark
	mark       mark
}

// mark is what is known of the store at one instant.
type mark struct {
	generation uint64
	cluster    uint64
	revision   int64
	term       uint64
}

// now returns the mark for a call that is about to begin.
func (h *history) now() mark {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.mark
	m.generation = h.generation.Now()
	return m
}

// note takes the header of the reply to a linearizable call that began at
// start, and returns the generation that what the reply holds belongs to. In
// doubt that is the older one: its versions are then refused, and read again.
func (h *history) note(start mark, header *pb.ResponseHeader) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	reply := mark{start.generation, header.GetClusterId(), header.GetRevision(), header.GetRaftTerm()}
	present := h.generation.Now()
	back := reply.revision < start.revision || reply.term < start.term ||
		start.cluster != 0 && reply.cluster != start.cluster
	switch {
	case back && present == start.generation:
		h.generation.Next()
		reply.generation++
		h.mark = reply
	case back && present == start.generation+1:
		reply.generation++
	case !back && present == start.generation:
		h.mark.revision = max(h.mark.revision, reply.revision)
		h.mark.term = max(h.mark.term, reply.term)
		h.mark.cluster = reply.cluster
	}
	return reply.generation
}
